//! How deliveries are sent: where to, with which secrets, over which connection.
//!
//! [`Clients::plan`] makes the [`SendPlan`] of a new event; for a delivery in the journal see
//! [`super::resend::Planner`].

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::capture::Capture;
use crate::config::Settings;
use crate::delivery::Delivery;
use crate::delivery::payload::PayloadKind;
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::target::{MissingSecret, Resolved, Target};
use crate::event::BodyFormat;
use crate::http::replay::{ForwardRules, forwarded};
use crate::http::{Client, ClientError, Request, TransportOptions};
use crate::secret::{Secret, Variables, safe_url};
use crate::time::UnixMs;

/// Variables that may name a proxy with a password, which the proxy may send back.
const PROXY_VARIABLES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Who makes the next attempt of a delivery that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryMode {
    /// This process, which waits for it.
    Wait,
    /// As [`RetryMode::Wait`], unless the first attempt finds that nothing listens at the address.
    WaitUnlessRefused,
    /// The process that reads the schedule when it is due.
    Schedule,
}

/// Everything needed to send a delivery.
#[derive(Clone)]
pub struct SendPlan {
    pub client: Client,
    pub target: Arc<Resolved>,
    /// The body format of events, if it is not that of the delivery.
    pub body_format: Option<BodyFormat>,
    pub policy: RetryPolicy,
    pub insecure: bool,
    /// Where it is sent, masked, if not to the delivery's own URL.
    pub sent_to: Option<String>,
    /// How it is sent if it forwards a capture.
    pub forwarding: Arc<ForwardRules>,
    /// The limit of one attempt, from the connection to the last byte of the response.
    pub timeout: Duration,
    pub mode: RetryMode,
}

impl SendPlan {
    /// The request of an attempt that is made `at` this time. `captured` is the capture that the delivery forwards, whose
    /// body is the payload.
    pub fn request(
        &self,
        delivery: &Delivery,
        payload: &[u8],
        captured: Option<&Capture>,
        at: UnixMs,
    ) -> Request {
        if let Some(capture) = captured {
            let (target, rules) = (&self.target, &self.forwarding);
            return forwarded(capture, payload, target, &delivery.uuid, rules, at);
        }
        let kind = delivery.payload_kind.clone().in_format(self.body_format);
        let headers = payload_headers(&delivery.uuid, &kind);
        let body = kind.request_body(payload).into_owned();
        let mut request =
            Request::for_delivery(&self.target, &delivery.method, &headers, Some(body));
        if let Some(signer) = &self.target.signer {
            request.sign(signer, delivery.uuid.as_bytes(), at);
        }
        request
    }
}

/// The headers that every delivery has.
pub fn payload_headers(uuid: &str, kind: &PayloadKind) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", kind.content_type().to_owned()),
        ("webhook-id", uuid.to_owned()),
    ]
}

/// Why a delivery cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Secret(#[from] MissingSecret),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The URL was imported, and a portal accepts any text.
    #[error("nothing can be sent to `{0}`, which is not a URL")]
    NotAUrl(String),
}

/// What makes one HTTP client different from another: options, TLS, whether proxies are bypassed, and given addresses.
type ClientKey = (TransportOptions, bool, bool, Option<Vec<IpAddr>>);

/// One HTTP client for each way to connect: the system's certificates are read once.
pub struct Clients {
    interrupted: Arc<AtomicBool>,
    clients: RefCell<Vec<(ClientKey, usize, Client)>>,
}

impl Clients {
    /// Requests end soon after `interrupted` is set.
    pub fn new(interrupted: Arc<AtomicBool>) -> Clients {
        Clients {
            interrupted,
            clients: RefCell::default(),
        }
    }

    /// A client that keeps up to `idle_connections` open per host.
    pub fn client(
        &self,
        target: &Target,
        options: &TransportOptions,
        idle_connections: usize,
    ) -> Result<Client, ClientError> {
        let key = (
            options.clone(),
            target.base.is_https(),
            target.base.is_loopback(),
            options.addresses(&target.base).map(<[IpAddr]>::to_vec),
        );
        let mut clients = self.clients.borrow_mut();
        for (known, connections, client) in &*clients {
            if *known == key && *connections == idle_connections {
                return Ok(*client);
            }
        }
        let interrupted = Arc::clone(&self.interrupted);
        let client = Client::new(options, &target.base, idle_connections, interrupted)?;
        clients.push((key, idle_connections, client));
        Ok(client)
    }

    /// Looks up the secrets of `target` and connects as `options` say: everything that can fail before a
    /// delivery is recorded and sent.
    pub fn plan(
        &self,
        env: &dyn Variables,
        target: &Target,
        policy: RetryPolicy,
        options: &TransportOptions,
        jobs: usize,
    ) -> Result<SendPlan, PlanError> {
        if !target.base.is_url() {
            return Err(PlanError::NotAUrl(target.to_string()));
        }
        let mut resolved = target.resolve(env)?;
        let passwords = proxy_credentials(env, options);
        Arc::make_mut(&mut resolved.redactor).add(&passwords);
        let idle_connections = if jobs > 1 { jobs } else { 0 };
        Ok(SendPlan {
            client: self.client(target, options, idle_connections)?,
            target: Arc::new(resolved),
            body_format: None,
            policy,
            insecure: options.insecure && target.base.is_https(),
            sent_to: None,
            forwarding: Arc::default(),
            timeout: options.timeout,
            mode: RetryMode::Wait,
        })
    }
}

/// The transport options that settings amount to.
pub fn transport_options(settings: &Settings) -> TransportOptions {
    let default = TransportOptions::default();
    TransportOptions {
        timeout: settings.timeout.unwrap_or(default.timeout),
        connect_timeout: settings.connect_timeout.unwrap_or(default.connect_timeout),
        cacert: settings.cacert.clone(),
        cert: settings.cert.clone(),
        key: settings.key.clone(),
        insecure: settings.insecure.unwrap_or(default.insecure),
        proxy: settings.proxy.clone(),
        resolve: settings.resolve.clone().unwrap_or_default(),
    }
}

pub fn proxy_credentials(env: &dyn Variables, options: &TransportOptions) -> Vec<Secret> {
    let mut proxies: Vec<String> = PROXY_VARIABLES
        .iter()
        .filter_map(|name| env.var(name)?.into_string().ok())
        .collect();
    proxies.extend(options.proxy.iter().map(|proxy| proxy.expose().to_owned()));
    proxies
        .iter()
        .flat_map(|proxy| safe_url::credentials(proxy))
        .collect()
}
