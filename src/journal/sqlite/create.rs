//! Making a journal that is not there: whole, with all its tables, in one step.
//!
//! SQLite would build it up in the file itself, by way of a rollback journal, a change of mode and a log full of new tables.
//! Here it does so in memory, and the file gets its name when it is complete and on the disk: whoever sees it sees all of it.
//! Where the file system can do neither of the ways to that, `open` builds it up in place.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rusqlite::{Connection, MAIN_DB};
use rustix::fs::{AtFlags, CWD, linkat};

use super::schema;

/// Where a database's first page says how it is written and read, and the value for WAL mode.
const MODE: (std::ops::Range<usize>, [u8; 2]) = (18..20, [2, 2]);

/// Ten deliveries of the usual size have room in a page. A page more takes its place in three others, each of which is a
/// write to the log and one to the file; an event that has no room in a page takes several.
pub(super) const PAGE_SIZE: u32 = 16 * 1024;

/// A new journal at `path`, 0600, open for reading and writing; none if another process was faster, or if it cannot be made
/// this way.
pub fn create(path: &Path) -> Option<File> {
    // What an earlier journal of that name left behind would be taken for this one's, and replayed into it. SQLite throws it
    // away if it finds an empty file.
    let left_behind = |suffix| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        Path::new(&beside).symlink_metadata().is_ok()
    };
    if left_behind("-wal") || left_behind("-journal") {
        return None;
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let Some(mut file) = unnamed(folder) else {
        return create_by_another_name(path);
    };
    fill(&mut file).ok()?;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Fails if there is a file of that name by now, as a hard link does.
    linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW).ok()?;
    Some(file)
}

/// An open file that has no name yet, and never existed if the program ends before it gets one.
#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR)
        .ok()
        .map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_folder: &Path) -> Option<File> {
    None
}

/// For systems without unnamed files.
pub(super) fn create_by_another_name(path: &Path) -> Option<File> {
    let mut other = path.as_os_str().to_owned();
    other.push(format!("-new-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&other)
        .ok()?;
    let named = fill(&mut file).is_ok() && std::fs::hard_link(&other, path).is_ok();
    // If it stays, it is no journal's.
    let _ = std::fs::remove_file(&other);
    named.then_some(file)
}

fn fill(file: &mut File) -> std::io::Result<()> {
    // The mask may have taken from the mode what the owner needs.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(&image().map_err(std::io::Error::other)?)?;
    // If the power failed with this file still empty on the disk, SQLite would throw the WAL beside it away.
    file.sync_all()
}

/// The bytes of an empty journal.
fn image() -> rusqlite::Result<Vec<u8>> {
    let mut conn = Connection::open_in_memory()?;
    conn.pragma_update(None, "page_size", PAGE_SIZE)?;
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let tx = conn.transaction()?;
    schema::migrate(&tx, 0)?;
    tx.commit()?;
    let mut image = conn.serialize(MAIN_DB)?.to_vec();
    // What is in memory has no WAL mode to be switched to.
    let (place, wal) = MODE;
    image[place].copy_from_slice(&wal);
    Ok(image)
}
