//! `--forward-to`: sends captured requests to a target and returns its responses.

use std::sync::Arc;

use super::args::ListenArgs;
use crate::capture::Mask;
use crate::cli::context::Context;
use crate::cli::settings;
use crate::env::Environment;
use crate::error::Failure;
use crate::http::replay::{ReplayTarget, add_hop, prepare};
use crate::http::{Client, Memory, Response, SendRequest as _};
use crate::journal::StoredCapture;
use crate::listener::{Upstream, UpstreamResponse};
use crate::secret::safe_url::BaseUrl;

pub struct Forwarder {
    name: String,
    destination: ReplayTarget,
    client: Client,
    env: Environment,
}

impl Forwarder {
    /// `None` without `--forward-to`, and with `--forward-later`.
    pub fn new(args: &ListenArgs, ctx: &Context<'_>) -> Result<Option<Forwarder>, Failure> {
        if args.forward_later.forward_later {
            return Ok(None);
        }
        let mut urls = args.responses.forward_to.iter();
        let Some(url) = urls.find(|url| !url.is_empty()) else {
            return Ok(None);
        };
        if urls.next().is_some() {
            return Err(
                Failure::usage("several `--forward-to` require `--forward-later`").hint(
                    "without it, the response is that of the target, of which there can be one",
                ),
            );
        }
        let target = settings::from_url(url)?.target;
        let options =
            settings::transport(&settings::with_endpoint(args.transport.settings(), None));
        ctx.warn_of_exposure(&target, &options);
        Ok(Some(Forwarder {
            name: target.to_string(),
            client: Client::new(&options, &target.base, 0, ctx.clock.interrupt_flag())?,
            destination: ReplayTarget {
                target,
                appends_path: true,
                // The listener stands in for the target, so requests to it were meant for the target.
                send_credentials: true,
                replay_of: None,
                mask: Mask::default(),
            },
            env: Environment,
        }))
    }

    /// The target's URL without its query.
    pub fn base(&self) -> &BaseUrl {
        &self.destination.target.base
    }
}

impl Upstream for Forwarder {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(
        &self,
        stored: &StoredCapture,
        memory: &Arc<dyn Memory>,
    ) -> Result<UpstreamResponse, String> {
        let (capture, body) = (&stored.record.capture, &stored.body);
        let mut prepared =
            prepare(capture, body, &self.destination, &self.env).map_err(|e| e.to_string())?;
        prepared.request.memory = Some(Arc::clone(memory));
        add_hop(capture, &mut prepared.request.headers);
        match self.client.send(prepared.request).result {
            Ok(Response { cut: Some(cut), .. }) => Err(format!("its response {cut}")),
            Ok(response) => Ok(UpstreamResponse {
                status: response.status,
                headers: response.headers,
                body: response.body,
                note: None,
            }),
            Err(error) => Err(error.message),
        }
    }
}
