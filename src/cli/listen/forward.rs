//! `--forward-to`: requests go on to a real receiver, and its answers come back.

use std::sync::Arc;

use super::args::ListenArgs;
use crate::capture::{Body, Capture, Mask};
use crate::cli::context::Context;
use crate::cli::settings;
use crate::env::Environment;
use crate::error::Failure;
use crate::http::replay::{Destination, prepare};
use crate::http::{Client, Memory, Response};
use crate::listener::{HOPS_HEADER, Relayed, Upstream, hops};
use crate::secret::safe_url::BaseUrl;

/// The way to the receiver.
pub struct Forwarder {
    name: String,
    destination: Destination,
    client: Client,
    env: Environment,
}

impl Forwarder {
    /// The one that the options ask for, if they do.
    ///
    /// # Errors
    /// When the URL cannot be sent to, or a certificate, key or proxy cannot be used.
    pub fn of(args: &ListenArgs, ctx: &Context<'_>) -> Result<Option<Forwarder>, Failure> {
        let Some(url) = args
            .answers
            .forward_to
            .as_deref()
            .filter(|url| !url.is_empty())
        else {
            return Ok(None);
        };
        let target = settings::from_url(url)?.target;
        let options =
            settings::transport(&settings::with_endpoint(args.transport.settings(), None));
        ctx.warn_of_exposure(&target, &options);
        let client = Client::new(&options, &target.base, 0, ctx.clock.interrupt_flag())?;
        let name = target.to_string();
        // It stands in for the receiver: what came for the one is for the other.
        let destination = Destination {
            target,
            appends_path: true,
            send_credentials: true,
            replay_of: None,
            mask: Mask::default(),
        };
        Ok(Some(Forwarder {
            name,
            destination,
            client,
            env: Environment,
        }))
    }
}

impl Forwarder {
    /// The receiver's URL, without its query.
    pub fn base(&self) -> &BaseUrl {
        &self.destination.target.base
    }
}

impl Upstream for Forwarder {
    fn name(&self) -> &str {
        &self.name
    }

    fn relay(
        &self,
        capture: &Capture,
        body: &Body,
        room: &Arc<dyn Memory>,
    ) -> Result<Relayed, String> {
        let mut prepared =
            prepare(capture, body, &self.destination, &self.env).map_err(|e| e.to_string())?;
        prepared.request.memory = Some(Arc::clone(room));
        let headers = &mut prepared.request.headers;
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(HOPS_HEADER));
        let hops = hops(capture).saturating_add(1).to_string();
        headers.push((HOPS_HEADER.to_owned(), hops.into_bytes()));
        match self.client.send(prepared.request).result {
            Ok(Response { cut: Some(cut), .. }) => Err(format!("its answer {cut}")),
            Ok(answer) => Ok(Relayed {
                status: answer.status,
                headers: answer.headers,
                body: answer.body,
            }),
            Err(failure) => Err(failure.message),
        }
    }
}
