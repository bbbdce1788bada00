//! `--junit`: a report file, checked before anything runs and written at the end.
//!
//! A regular file is replaced in one step. Anything else, such as a symbolic link or `/dev/stdout`, is written through.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Failure, Kind};
use crate::output::junit::{Case, document};

pub struct JunitFile {
    path: PathBuf,
}

impl JunitFile {
    /// Checks that the report can be written.
    pub fn new(path: &Path) -> Result<JunitFile, Failure> {
        let file = JunitFile {
            path: path.to_owned(),
        };
        let checked = match file.is_replaced() {
            Ok(true) => file.temporary().map(drop),
            Ok(false) => file.open(false).map(drop),
            Err(e) => Err(e),
        };
        match checked {
            Ok(()) => Ok(file),
            Err(e) => Err(file.failure(e)),
        }
    }

    pub fn write(&self, case: &Case) -> Result<(), Failure> {
        self.try_write(&document(case)).map_err(|e| self.failure(e))
    }

    fn try_write(&self, report: &str) -> io::Result<()> {
        if self.is_replaced()? {
            let mut file = self.temporary()?;
            file.write_all(report.as_bytes())?;
            file.persist(&self.path)?;
            return Ok(());
        }
        self.open(true)?.write_all(report.as_bytes())
    }

    /// Whether the path is a regular file, or free.
    fn is_replaced(&self) -> io::Result<bool> {
        match self.path.symlink_metadata() {
            Ok(found) => Ok(found.is_file()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// Opens what the path leads to. Streams such as `/dev/stdout` are appended to, since they may be redirected to a file
    /// that has content already.
    fn open(&self, truncate: bool) -> io::Result<File> {
        let is_stream = ["/dev", "/proc"]
            .iter()
            .any(|directory| self.path.starts_with(directory));
        let mut options = OpenOptions::new();
        match is_stream {
            true => options.append(true),
            false => options.write(true).create(true).truncate(truncate),
        };
        options.open(&self.path)
    }

    /// A new file in the same directory, with the permissions of any other new file.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        let directory = self
            .path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        tempfile::Builder::new()
            .prefix(".hookfire-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)
    }

    fn failure(&self, error: io::Error) -> Failure {
        let path = self.path.display();
        Failure::from_error(Kind::Error, error)
            .context(format!("cannot write the JUnit report `{path}`"))
            .hint("`--junit FILE` needs an existing directory that you can write to")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symbolic_links_are_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        symlink(&target, &link).unwrap();
        let file = JunitFile::new(&link).unwrap();
        file.try_write("long report").unwrap();
        file.try_write("report").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "report");
    }

    #[test]
    fn regular_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        std::fs::write(&path, "old").unwrap();
        let file = JunitFile::new(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        file.try_write("new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert!(JunitFile::new(folder.path()).is_err(), "a directory");
    }
}
