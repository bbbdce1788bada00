//! The file of the JUnit report: looked at before anything runs, written in one piece at the end.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Failure, Kind};
use crate::output::junit::{Case, document};

/// A file that can be written, as far as that is known beforehand.
pub struct JunitFile {
    path: PathBuf,
}

impl JunitFile {
    /// Tries out whether a report can be written there.
    ///
    /// # Errors
    /// When its folder cannot be written to, or something else than a file is in its place.
    pub fn new(path: &Path) -> Result<JunitFile, Failure> {
        let file = JunitFile {
            path: path.to_owned(),
        };
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(file.cannot(io::Error::other("it is there, and is no file")));
        }
        file.beside().map_err(|e| file.cannot(e))?;
        Ok(file)
    }

    /// Writes the report; what was there before is replaced in one step, or stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, case: &Case) -> Result<(), Failure> {
        let written = self.beside().and_then(|mut new| {
            new.write_all(document(case).as_bytes())?;
            Ok(new.persist(&self.path)?)
        });
        written.map(drop).map_err(|e| self.cannot(e))
    }

    /// A new file in the same folder, readable as any other: who collects reports is seldom who runs tests.
    fn beside(&self) -> io::Result<NamedTempFile> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        tempfile::Builder::new()
            .prefix(".hookfire-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
    }

    fn cannot(&self, error: io::Error) -> Failure {
        Failure::from_error(Kind::Error, error)
            .context(format!("cannot write the JUnit report `{}`", self.path.display()))
            .hint("name a file in a folder that is there, and that you may write, with `--junit FILE`")
    }
}
