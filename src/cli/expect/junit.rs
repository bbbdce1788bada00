//! `--junit`: a report file with one test case, checked before anything runs and written at the end.
//!
//! A regular file is replaced in one step. Anything else, such as a symbolic link or `/dev/stdout`, is written through.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::error::{Failure, Kind};
use crate::event::{escape_attribute, escape_text};
use crate::exit::Exit;
use crate::sanitize::visible;

const CLASS: &str = "hookfire.expect";

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

    /// Writes how `expect` ended after `took`; `output` is for a reader.
    pub fn write(
        &self,
        name: &str,
        ended: &Result<Exit, Failure>,
        took: Duration,
        output: &str,
    ) -> Result<(), Failure> {
        let report = document(name, ended.as_ref().err(), took, output);
        self.try_write(&report).map_err(|e| self.failure(e))
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

    /// Opens what the path leads to. Streams such as `/dev/stdout` are appended to, since they may be redirected to a
    /// file that has content already.
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

/// Characters that XML cannot contain are escaped.
fn document(name: &str, failure: Option<&Failure>, took: Duration, output: &str) -> String {
    let attribute = |words: &str| escape_attribute(&visible(words));
    let text = |words: &str| escape_text(&visible(words));
    let element = failure.map(|failure| match failure.kind {
        Kind::Unmet | Kind::Command => "failure",
        // Of the test itself, rather than of what was tested.
        _ => "error",
    });
    let count = |kind| usize::from(element == Some(kind));
    let (failures, errors) = (count("failure"), count("error"));
    let time = format!("{:.3}", took.as_secs_f64());
    let mut content = String::new();
    if let (Some(element), Some(failure)) = (element, failure) {
        content += &format!(
            "    <{element} type=\"{}\" message=\"{}\">{}</{element}>\n",
            failure.kind.as_str(),
            attribute(&failure.error.to_string()),
            text(&failure.lines().join("\n"))
        );
    }
    if !output.is_empty() {
        content += &format!("    <system-out>{}</system-out>\n", text(output));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"{CLASS}\" tests=\"1\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{time}\">\n  \
         <testcase classname=\"{CLASS}\" name=\"{}\" time=\"{time}\">\n{content}  </testcase>\n</testsuite>\n",
        attribute(name)
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use roxmltree::Document;

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
    fn a_stream_is_appended_to() {
        let mut output = tempfile::NamedTempFile::new().unwrap();
        output.write_all(b"before\n").unwrap();
        let stream = format!("/dev/fd/{}", output.as_file().as_raw_fd());
        let file = JunitFile::new(Path::new(&stream)).unwrap();
        file.try_write("report").unwrap();
        let written = std::fs::read_to_string(output.path()).unwrap();
        assert_eq!(written, "before\nreport");
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

    const NASTY: &str = "a<b>&\"'\u{1b}[2J\u{0}\u{ffff}\n\u{9b}]]>";

    #[test]
    fn hostile_text_yields_well_formed_xml() {
        let failure = Failure::new(Kind::Unmet, NASTY);
        let took = Duration::from_millis(1500);
        let xml = document(NASTY, Some(&failure), took, NASTY);
        let document = Document::parse(&xml).unwrap();
        let suite = document.root_element();
        assert_eq!(
            (suite.attribute("tests"), suite.attribute("failures")),
            (Some("1"), Some("1"))
        );
        let failure = document
            .descendants()
            .find(|node| node.has_tag_name("failure"))
            .unwrap();
        let shown = "a<b>&\"'\\u{1b}[2J\\u{0}\u{fffd}\n\\u{9b}]]>";
        assert_eq!(
            (failure.attribute("message"), failure.text()),
            (Some(shown), Some(shown))
        );
        let output = document
            .descendants()
            .find(|node| node.has_tag_name("system-out"))
            .unwrap();
        assert_eq!(output.text(), Some(shown));
    }

    #[test]
    fn a_passed_case_has_no_failure_element() {
        let xml = document("x", None, Duration::from_millis(7), "");
        insta::assert_snapshot!(xml, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuite name="hookfire.expect" tests="1" failures="0" errors="0" skipped="0" time="0.007">
          <testcase classname="hookfire.expect" name="x" time="0.007">
          </testcase>
        </testsuite>
        "#);
    }
}
