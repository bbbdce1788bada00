//! `--open`: opens the web UI in a browser.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use tempfile::TempPath;

/// Opens a URL that contains a token through a temporary file that only its owner can read: all users of the machine can
/// see the arguments of a program. The file is deleted when the result is dropped.
pub fn open_privately(url: &str) -> io::Result<TempPath> {
    let mut file = tempfile::Builder::new()
        .prefix("hookfire-")
        .suffix(".html")
        .tempfile()?;
    // The URL contains nothing that HTML would have to escape.
    writeln!(
        file,
        "<!doctype html><meta charset=\"utf-8\"><title>hookfire</title><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0; url={url}\">"
    )?;
    let path = file.into_temp_path();
    open(path.as_os_str())?;
    Ok(path)
}

pub fn open(url: impl AsRef<OsStr>) -> io::Result<()> {
    let program = match cfg!(target_os = "macos") {
        true => "open",
        false => "xdg-open",
    };
    let mut child = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // It may run as long as the browser; waiting for it avoids a zombie process.
    std::thread::spawn(move || child.wait());
    Ok(())
}
