//! The engine's older interface to the client, until it uses [`Client`] and [`Pool`] itself.

use std::sync::Arc;
use std::time::Duration;

use super::{Client, Completed, Pool, outcome};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::Resolved;
use crate::delivery::{AttemptError, ErrorKind, Outcome};
use crate::http::outcome::{redirect_target, stored_body};

/// One request. Its URL and headers hold secrets.
#[derive(Clone, Debug)]
pub struct Request {
    pub body: Option<Vec<u8>>,
    pub target: Arc<Resolved>,
    pub headers: Vec<(&'static str, String)>,
}

/// What came back, masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
    pub note: Option<String>,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoResponse {
    pub error: AttemptError,
    pub maybe_received: bool,
}

/// One try: how long it took and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub duration: Duration,
    pub result: Result<Response, NoResponse>,
}

pub trait Transport {
    fn send(&self, request: &Request) -> Answer;
}

pub type Answered = Box<dyn FnOnce(Answer) + Send>;

pub trait Crew {
    fn begin(&self, request: Request, answered: Answered);
}

impl Transport for Client {
    fn send(&self, request: &Request) -> Answer {
        answer(Client::send(self, converted(request)), &request.target)
    }
}

/// A client whose requests count for a pool.
pub struct KeptAlive(pub Client, pub Arc<Pool>);

impl Crew for KeptAlive {
    fn begin(&self, request: Request, answered: Answered) {
        let converted = converted(&request);
        let target = request.target;
        self.1.begin(
            &self.0,
            converted,
            Box::new(move |completed| answered(answer(completed, &target))),
        );
    }
}

fn converted(request: &Request) -> super::Request {
    super::Request::for_delivery(&request.target, &request.headers, request.body.clone())
}

fn answer(completed: Completed, target: &Resolved) -> Answer {
    let redactor = &target.redactor;
    let result = match completed.result {
        Ok(response) => {
            let (body, note) = stored_body(&response, redactor);
            Ok(Response {
                status: response.status,
                location: redirect_target(&response, redactor),
                body,
                note,
            })
        }
        Err(none) => Err(NoResponse {
            error: AttemptError {
                kind: none.kind,
                message: none.message,
            },
            maybe_received: none.maybe_received,
        }),
    };
    Answer {
        duration: completed.duration,
        result,
    }
}

pub fn judge(policy: &RetryPolicy, result: Result<Response, NoResponse>) -> Outcome {
    match result {
        Ok(response) => Outcome {
            http_status: Some(response.status),
            error: (!policy.success.contains(response.status)).then(|| AttemptError {
                kind: ErrorKind::Status,
                message: outcome::rejection(policy, response.status, response.location.as_deref()),
            }),
            maybe_received: false,
            response_body: Some(response.body),
            note: response.note,
        },
        Err(none) => Outcome {
            http_status: None,
            error: Some(none.error),
            maybe_received: none.maybe_received,
            response_body: None,
            note: None,
        },
    }
}
