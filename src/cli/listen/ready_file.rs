//! `--ready-file`: tells scripts the URL once the listener listens.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Failure, Kind};

/// A file with the URL, removed when this is dropped.
#[derive(Debug)]
pub struct ReadyFile {
    path: PathBuf,
    /// Open, so that its inode is not reused for another file.
    file: File,
}

impl ReadyFile {
    /// Checks that the file can be written, without touching it: it may belong to a running listener, which stays
    /// if this one cannot start.
    pub fn check(path: &Path) -> Result<(), Failure> {
        let refused = |reason: &str| {
            Err(Failure::usage(format!(
                "cannot write `--ready-file {}`: {reason}",
                path.display()
            )))
        };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => refused("it exists and is not a regular file"),
            Err(_) if !directory(path).is_dir() => refused("its directory does not exist"),
            _ => Ok(()),
        }
    }

    /// Writes it completely or not at all, replacing the file of an earlier run.
    pub fn write(path: &Path, url: &str) -> Result<ReadyFile, Failure> {
        let written = NamedTempFile::new_in(directory(path)).and_then(|mut file| {
            writeln!(file, "{url}")?;
            Ok(ReadyFile {
                path: path.to_owned(),
                file: file.persist(path).map_err(|e| e.error)?,
            })
        });
        written.map_err(|e| {
            Failure::from_error(Kind::Error, e)
                .context(format!("cannot write `{}`", path.display()))
        })
    }

    /// Whether the path still leads to this file, and not to one of another listener.
    fn is_in_place(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        let found = std::fs::symlink_metadata(&self.path)?;
        Ok((own.dev(), own.ino()) == (found.dev(), found.ino()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if self.is_in_place().unwrap_or(false) {
            // Fails if it was removed just now.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_file_exists_while_listening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "http://another").unwrap();
        ReadyFile::check(&path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "http://another",
            "not written yet"
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
    fn ready_file_of_a_later_listener_stays() {
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
    fn other_kinds_of_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ReadyFile::check(folder.path()).is_err());
        assert!(folder.path().is_dir());
        assert!(ReadyFile::check(&folder.path().join("no/such/url")).is_err());
    }
}
