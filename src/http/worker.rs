//! Threads that make requests, so that whoever asked for one can turn away from it.
//!
//! The client blocks until an answer comes; a worker blocks in its stead. Deliberately knows neither deadline nor interrupt:
//! those are for who waits. One who turns away drops the worker with what it is at, and the next request gets another; a
//! worker that is done is kept for the next one. None is waited for when the program ends.

use std::io::Read as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use reqwest::blocking::{Client, Request as WireRequest, Response as WireResponse};
use reqwest::header::HeaderMap;

use crate::http::transport::Room;

/// The workers of one client: those that are waiting for a request.
pub struct Workers {
    client: Client,
    idle: Mutex<Vec<Worker>>,
}

/// The end of an answer's body, as the client saw it.
pub enum Read {
    /// All of it was read.
    Whole,
    /// As much as was asked for was read.
    Limit,
    /// The connection broke before its end.
    Broken,
    /// There was no room for more of it, for this reason.
    NoRoom(String),
}

/// What is read of a body at once.
const PIECE: usize = 8 * 1024;

/// How an exchange ended.
pub type Ending = reqwest::Result<Read>;

/// What has come of an answer.
pub struct Received {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// What was read of its body so far.
    pub body: Vec<u8>,
}

/// An exchange under way.
pub struct Exchange {
    worker: Worker,
    progress: Arc<Progress>,
}

/// What the worker writes and whoever waits may take at any time.
#[derive(Default)]
pub struct Progress(Mutex<Stage>);

#[derive(Default)]
enum Stage {
    #[default]
    NoAnswer,
    Answer(Received),
    /// Nobody wants it any more.
    Abandoned,
}

struct Job {
    wire: WireRequest,
    limit: usize,
    room: Option<Arc<dyn Room>>,
    progress: Arc<Progress>,
}

struct Worker {
    jobs: mpsc::Sender<Job>,
    endings: Receiver<Ending>,
}

impl Workers {
    /// No thread is there yet.
    pub fn new(client: Client) -> Workers {
        Workers {
            client,
            idle: Mutex::default(),
        }
    }

    /// The client that all of them make requests with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Has a request made, and up to `limit` bytes of the answer's body read, as far as there is room.
    ///
    /// # Errors
    /// When the system gives no thread; nothing was sent then.
    pub fn begin(
        &self,
        wire: WireRequest,
        limit: usize,
        room: Option<Arc<dyn Room>>,
    ) -> std::io::Result<Exchange> {
        let progress = Arc::<Progress>::default();
        let mut job = Job {
            wire,
            limit,
            room,
            progress: Arc::clone(&progress),
        };
        loop {
            let idle = self.idle().pop();
            let worker = idle.map_or_else(|| Worker::start(self.client.clone()), Ok)?;
            match worker.jobs.send(job) {
                Ok(()) => return Ok(Exchange { worker, progress }),
                // Its thread has ended, which only a panic in the client makes it do.
                Err(refused) => job = refused.0,
            }
        }
    }

    /// Takes back the worker of an exchange that has ended, and gives out what was received.
    pub fn end(&self, exchange: Exchange) -> Option<Received> {
        let received = exchange.progress.take();
        self.idle().push(exchange.worker);
        received
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    /// Waits for the end, not longer than so.
    ///
    /// # Errors
    /// [`RecvTimeoutError`]; disconnected only after a panic in the client.
    pub fn wait(&self, timeout: Duration) -> Result<Ending, RecvTimeoutError> {
        self.worker.endings.recv_timeout(timeout)
    }

    /// Turns away from it, with what was received so far.
    pub fn abandon(self) -> Option<Received> {
        self.progress.take()
    }
}

impl Progress {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was received so far. From here on nobody wants to know more.
    pub fn take(&self) -> Option<Received> {
        match std::mem::replace(&mut *self.stage(), Stage::Abandoned) {
            Stage::Answer(received) => Some(received),
            Stage::NoAnswer | Stage::Abandoned => None,
        }
    }

    /// Whether anybody still wants to know.
    fn head(&self, response: &WireResponse) -> bool {
        let mut stage = self.stage();
        let wanted = matches!(*stage, Stage::NoAnswer);
        if wanted {
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            *stage = Stage::Answer(Received {
                status,
                headers,
                body: Vec::new(),
            });
        }
        wanted
    }

    /// There is room for a body of this length.
    fn make_room(&self, length: usize) {
        if let Stage::Answer(received) = &mut *self.stage() {
            received.body.reserve_exact(length);
        }
    }

    /// As [`Progress::head`].
    fn chunk(&self, bytes: &[u8]) -> bool {
        match &mut *self.stage() {
            Stage::Answer(received) => {
                received.body.extend_from_slice(bytes);
                true
            }
            Stage::NoAnswer | Stage::Abandoned => false,
        }
    }
}

impl Worker {
    fn start(client: Client) -> std::io::Result<Worker> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (report, endings) = mpsc::channel();
        thread::Builder::new().spawn(move || {
            for job in waiting {
                let Job {
                    wire,
                    limit,
                    room,
                    progress,
                } = job;
                let ending = exchange(&client, wire, limit, room.as_deref(), &progress);
                // Whoever asked has it as well, and lets go of it when the answer is no longer in memory.
                drop(room);
                if report.send(ending).is_err() {
                    // Whoever asked has turned away, and this worker is forgotten.
                    return;
                }
            }
        })?;
        Ok(Worker { jobs, endings })
    }
}

/// Makes a request, and reads up to `limit` bytes of the answer's body, as far as there is room.
pub fn exchange(
    client: &Client,
    wire: WireRequest,
    limit: usize,
    room: Option<&dyn Room>,
    progress: &Progress,
) -> Ending {
    client
        .execute(wire)
        .map(|response| read(response, limit, room, progress))
}

fn read(
    mut response: WireResponse,
    limit: usize,
    room: Option<&dyn Room>,
    progress: &Progress,
) -> Read {
    // What it says when nobody wants to know is told to nobody.
    if !progress.head(&response) {
        return Read::Broken;
    }
    if let (Some(room), Some(length)) = (room, response.content_length()) {
        // Nothing is read in vain that is said to be too long.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match room.grow(length) {
            Ok(()) => progress.make_room(length),
            Err(words) => return Read::NoRoom(words),
        }
    }
    let mut read = 0;
    // As a rule an answer says how little there is.
    let expected = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(PIECE);
    let mut buffer = vec![0; expected.clamp(1, PIECE)];
    while read < limit {
        let most = buffer.len().min(limit - read);
        match response.read(&mut buffer[..most]) {
            Ok(0) => return Read::Whole,
            Ok(n) => {
                if let Some(Err(words)) = room.map(|room| room.grow(read + n)) {
                    return Read::NoRoom(words);
                }
                if !progress.chunk(&buffer[..n]) {
                    return Read::Broken;
                }
                read += n;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Read::Broken,
        }
    }
    Read::Limit
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use reqwest::{Method, Url};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn request(listener: &TcpListener) -> WireRequest {
        let url = format!("http://{}/", listener.local_addr().unwrap());
        WireRequest::new(Method::GET, Url::parse(&url).unwrap())
    }

    fn answer(mut stream: &TcpStream, bytes: &[u8]) {
        stream.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(bytes).unwrap();
    }

    fn workers() -> Workers {
        Workers::new(
            Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
        )
    }

    #[test]
    fn a_worker_serves_one_request_after_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let workers = workers();
        for round in 0..3 {
            let exchange = workers.begin(request(&listener), 100, None).unwrap();
            let (stream, _) = listener.accept().unwrap();
            answer(&stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            assert!(
                matches!(exchange.wait(LONG), Ok(Ok(Read::Whole))),
                "{round}"
            );
            let received = workers.end(exchange).unwrap();
            assert_eq!(
                (received.status, received.body.as_slice()),
                (200, &b"ok"[..])
            );
            assert_eq!(workers.idle().len(), 1, "{round}");
        }
    }

    #[test]
    fn one_that_hangs_is_left_with_what_came_and_the_next_request_has_another() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let workers = workers();
        let exchange = workers.begin(request(&listener), 100, None).unwrap();
        let (hanging, _) = listener.accept().unwrap();
        answer(
            &hanging,
            b"HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\nhalf",
        );
        let begun = std::time::Instant::now();
        while !matches!(&*exchange.progress.stage(), Stage::Answer(received) if received.body == b"half")
        {
            assert!(begun.elapsed() < LONG);
            assert!(matches!(
                exchange.wait(Duration::from_millis(1)),
                Err(RecvTimeoutError::Timeout)
            ));
        }
        let received = exchange.abandon().unwrap();
        assert_eq!(
            (received.status, received.body.as_slice()),
            (201, &b"half"[..])
        );
        assert_eq!(workers.idle().len(), 0);

        let exchange = workers.begin(request(&listener), 100, None).unwrap();
        let (stream, _) = listener.accept().unwrap();
        answer(&stream, b"HTTP/1.1 204 No Content\r\n\r\n");
        assert!(matches!(exchange.wait(LONG), Ok(Ok(Read::Whole))));
        assert_eq!(workers.end(exchange).unwrap().status, 204);
        drop(hanging);
    }
}
