//! Gets a growing WAL onto the disk while more is written to it, on a thread of its own.
//!
//! Nothing depends on it: whoever moves the WAL into the main file syncs it first. But then the writer waits, and those whose
//! captures it is to keep: for the less, the more is on the disk already.

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// A thread that syncs a file when asked. It ends when this is dropped.
pub struct Flusher {
    asked: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(path: PathBuf) -> std::io::Result<Flusher> {
        let (asked, asks) = sync_channel(1);
        let flush = move || {
            for () in asks {
                let _ = File::open(&path).and_then(|file| file.sync_data());
            }
        };
        let thread = std::thread::Builder::new()
            .name("journal-sync".to_owned())
            .spawn(flush)?;
        Ok(Flusher {
            asked: Some(asked),
            thread: Some(thread),
        })
    }

    /// Has the file synced soon.
    pub fn ask(&self) {
        // Full: it was asked and has not begun yet.
        let _ = self.asked.as_ref().map(|asked| asked.try_send(()));
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.asked = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
