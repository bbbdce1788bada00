//! A thread that sends many requests at once.

use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::client::{Client, panicked, runtime};
use super::{Completed, Request};

/// Called once with the result of a request, on the pool's thread.
pub type Done = Box<dyn FnOnce(Completed) + Send>;

type Job = (Client, Request, Reply);

/// Reports the result of a request, or that its task was dropped because of a panic.
struct Reply(Option<Done>);

impl Reply {
    fn send(&mut self, completed: Completed) {
        if let Some(done) = self.0.take() {
            done(completed);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(panicked());
    }
}

/// Sends up to `jobs` requests at once. Dropping it abandons those under way.
pub struct Pool(UnboundedSender<Job>);

impl Pool {
    pub fn start(jobs: usize) -> std::io::Result<Pool> {
        let (sender, receiver) = unbounded_channel();
        let runtime = runtime()?;
        thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(send_all(receiver, jobs));
                // Without waiting for a name lookup that hangs.
                runtime.shutdown_background();
            })?;
        Ok(Pool(sender))
    }

    /// Sends the request as soon as fewer than `jobs` are under way, and returns at once. `done` is always called: with the
    /// response, at the deadline, or within 50 ms of an interrupt.
    pub fn begin(&self, client: &Client, request: Request, done: Done) {
        // If the thread has panicked, the reply says so.
        let _ = self.0.send((client.clone(), request, Reply(Some(done))));
    }
}

async fn send_all(mut submitted: UnboundedReceiver<Job>, jobs: usize) {
    let free = Arc::new(Semaphore::new(jobs));
    while let Some((client, request, mut reply)) = submitted.recv().await {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        tokio::spawn(async move {
            let completed = client.complete(request).await;
            drop(permit);
            reply.send(completed);
        });
    }
}
