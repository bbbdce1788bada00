//! Telling others that it listens: a file for scripts, a browser for people.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::{NamedTempFile, TempPath};

use crate::error::{Failure, Kind};

/// The file that says where it listens, for as long as it does.
#[derive(Debug)]
pub struct ReadyFile {
    path: PathBuf,
    /// Open, so that no other file can be taken for it.
    file: File,
}

impl ReadyFile {
    /// Looks whether it can be written, and leaves alone what is there: another listener's, perhaps, that goes on when this
    /// one finds its port taken.
    ///
    /// # Errors
    /// When there is something else of that name, or no folder for it.
    pub fn check(path: &Path) -> Result<(), Failure> {
        let refused = |why: &str| {
            Err(Failure::usage(format!(
                "`--ready-file {}` cannot be written: {why}",
                path.display()
            )))
        };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => refused("there is something else of that name"),
            Err(_) if !folder(path).is_dir() => refused("there is no such folder"),
            _ => Ok(()),
        }
    }

    /// Writes it, whole or not at all, in the place of what an earlier run may have left.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(path: &Path, url: &str) -> Result<ReadyFile, Failure> {
        let written = NamedTempFile::new_in(folder(path)).and_then(|mut file| {
            writeln!(file, "{url}")?;
            Ok(ReadyFile {
                path: path.to_owned(),
                file: file.persist(path).map_err(|e| e.error)?,
            })
        });
        written.map_err(|e| {
            Failure::from_error(
                Kind::Error,
                anyhow::Error::from(e).context(format!("cannot write `{}`", path.display())),
            )
        })
    }

    /// Whether what is there now is what was written, and not what another listener has put in its place.
    fn is_there(&self) -> io::Result<bool> {
        let (own, found) = (
            self.file.metadata()?,
            std::fs::symlink_metadata(&self.path)?,
        );
        Ok((own.dev(), own.ino()) == (found.dev(), found.ino()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // If it is gone already, all the better.
        if self.is_there().unwrap_or(false) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Has the desktop open a page whose URL nobody else may know. Arguments of programs can be read by everybody on the
/// machine, so that theirs is the name of a file, which only its owner can read, and which leads there. It is gone when
/// what is given back is dropped.
///
/// # Errors
/// When the file cannot be written, or the desktop's program cannot be run.
pub fn open_privately(url: &str) -> io::Result<TempPath> {
    let mut file = tempfile::Builder::new()
        .prefix("hookfire-")
        .suffix(".html")
        .tempfile()?;
    // An address and a token of our own making: there is nothing in them that HTML would have to be told from.
    writeln!(
        file,
        "<!doctype html><meta charset=\"utf-8\"><title>hookfire</title><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0; url={url}\">"
    )?;
    let path = file.into_temp_path();
    open(path.as_os_str())?;
    Ok(path)
}

/// Has the desktop open a URL.
///
/// # Errors
/// When the desktop's program for that cannot be run.
pub fn open(url: impl AsRef<OsStr>) -> io::Result<()> {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let mut opener = Command::new(program);
    opener
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
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
        std::fs::write(&path, "http://another").unwrap();
        ReadyFile::check(&path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "http://another",
            "nothing is written yet"
        );
        let ready = ReadyFile::write(&path, "http://127.0.0.1:1").unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "http://127.0.0.1:1\n"
        );
        drop(ready);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_file_of_a_later_listener_stays_when_an_earlier_one_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let [earlier, later] =
            [(); 2].map(|()| ReadyFile::write(&path, "http://127.0.0.1:1").unwrap());
        drop(earlier);
        assert!(path.exists());
        drop(later);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_plain_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ReadyFile::check(folder.path()).is_err());
        assert!(folder.path().is_dir());
        assert!(ReadyFile::check(&folder.path().join("no/such/url")).is_err());
    }
}
