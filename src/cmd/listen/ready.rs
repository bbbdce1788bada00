//! Telling others that it listens: a file for scripts, a browser for people.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, Kind};

/// The file that says where it listens, for as long as it does.
#[derive(Debug)]
pub struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Forgets what an earlier run may have left: whoever waits for the file must not see that.
    ///
    /// # Errors
    /// When there is something else of that name, or no folder for it.
    pub fn prepare(path: &Path) -> Result<(), Failure> {
        let refused =
            |why: &str| Err(Failure::usage(format!("`--ready-file {}` cannot be written: {why}", path.display())));
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => refused("there is something else of that name"),
            Ok(_) => std::fs::remove_file(path).or_else(|e| refused(&e.to_string())),
            Err(_) if !folder(path).is_dir() => refused("there is no such folder"),
            Err(_) => Ok(()),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(path: &Path, url: &str) -> Result<ReadyFile, Failure> {
        let written = tempfile::NamedTempFile::new_in(folder(path)).and_then(|mut file| {
            writeln!(file, "{url}")?;
            file.persist(path).map_err(|e| e.error)?;
            Ok(ReadyFile(path.to_owned()))
        });
        written.map_err(|e| {
            Failure::from_error(
                Kind::Error,
                anyhow::Error::from(e).context(format!("cannot write `{}`", path.display())),
            )
        })
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // If it is gone already, all the better.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Has the desktop open a URL.
///
/// # Errors
/// When the desktop's program for that cannot be run.
pub fn open_browser(url: &str) -> std::io::Result<()> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut opener = Command::new(program);
    opener.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = opener.spawn()?;
    // It may stay as long as the browser does; its end is nobody's business but the system's table of processes.
    std::thread::spawn(move || child.wait());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_whole_while_it_listens_and_gone_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "http://stale").unwrap();
        ReadyFile::prepare(&path).unwrap();
        assert!(!path.exists());
        let ready = ReadyFile::write(&path, "http://127.0.0.1:1").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "http://127.0.0.1:1\n");
        drop(ready);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_plain_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ReadyFile::prepare(folder.path()).is_err());
        assert!(folder.path().is_dir());
        assert!(ReadyFile::prepare(&folder.path().join("no/such/url")).is_err());
    }
}
