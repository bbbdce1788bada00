//! The options that name a listener on another machine, and the client for it.

use clap::{Args, ValueHint};

use super::args::{TRANSPORT_OPTIONS, TransportArgs};
use super::context::Context;
use super::settings;
use crate::delivery::target::{Param, Target};
use crate::engine::plan::proxy_credentials;
use crate::error::Failure;
use crate::http::TransportOptions;
use crate::remote::form::Bins;
use crate::remote::{Remote, RemoteAddress, RemoteErrorKind};
use crate::secret::SecretSource;
use crate::text;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Remote listener")]
pub struct RemoteArgs {
    /// Read from the `hookfire listen` at this address instead of the journal: `https://hooks.example.com`, with or without
    /// the path /_hookfire/
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub from: Option<String>,
    /// Its token, best one of its --read-token: @env:VARIABLE, @file:PATH or a literal
    #[arg(long, value_name = "TOKEN", env = "HOOKFIRE_TOKEN", value_hint = ValueHint::Other)]
    pub token: Option<String>,
}

impl RemoteArgs {
    /// The listener, checked; none without `--from`.
    pub fn connect(
        &self,
        transport: &TransportArgs,
        ctx: &Context<'_>,
    ) -> Result<Option<Remote>, Failure> {
        if self.from.is_none() {
            let requires_from =
                |flag: String| Failure::usage(format!("`{flag}` requires `--from`"));
            ctx.refuse(&["token"], requires_from)?;
            ctx.refuse(&TRANSPORT_OPTIONS, requires_from)?;
            return Ok(None);
        }
        let remote = self.client(transport, ctx)?;
        if let Some(remote) = &remote {
            remote.check()?;
        }
        Ok(remote)
    }

    /// As [`RemoteArgs::connect`], without a request.
    pub fn client(
        &self,
        transport: &TransportArgs,
        ctx: &Context<'_>,
    ) -> Result<Option<Remote>, Failure> {
        let Some(from) = &self.from else {
            return Ok(None);
        };
        let address = RemoteAddress::parse(from)?;
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        let token = token.map(|text| settings::token("--token", text, &ctx.env));
        let token = token.transpose()?;
        let header = token.clone().map(SecretSource::Literal);
        let header = header.map(|token| Param::secret("authorization", token));
        let mut target = Target::new(address.base().clone());
        target.headers.extend(header);
        let options: TransportOptions = settings::transport(&transport.settings());
        ctx.warn_of_exposure(&target, &options);
        let sender = ctx.clients.client(&target, &options, 1)?;
        let secrets = proxy_credentials(&ctx.env, &options);
        Ok(Some(Remote::new(
            Box::new(sender),
            address,
            token,
            &secrets,
        )))
    }
}

/// Fails if the remote does not have the bin. Returns its bins.
pub fn require_bin(remote: &Remote, name: &str) -> Result<Bins, Failure> {
    let bins = remote.bins()?;
    let known = bins.bins.iter().map(|bin| bin.name.as_str());
    if known.clone().any(|known| known == name) {
        return Ok(bins);
    }
    let hint = match text::nearest(name, known.clone()) {
        Some(near) => format!("did you mean `--bin {near}`?"),
        None if bins.bins.is_empty() => {
            "it has no bins yet; its first request creates one".to_owned()
        }
        None => format!("it has the bins {}", text::listed(known)),
    };
    Err(Failure::from(remote.error(RemoteErrorKind::NoBin(name.to_owned()))).hint(hint))
}
