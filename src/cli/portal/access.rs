//! The portal's URL, the access token and the connection.
//!
//! A configured token is sent to the configured portal only.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::args::TransportArgs;
use crate::cli::context::Context;
use crate::cli::settings;
use crate::config;
use crate::delivery::target::{Param, Target};
use crate::engine::plan::proxy_credentials;
use crate::error::{Failure, Kind};
use crate::portal::PortalClient;
use crate::secret::safe_url::BaseUrl;
use crate::secret::{SecretSource, Variables as _};

const DEFAULT_PARAMETER: &str = "access_token";
const TOKEN_VARIABLE: &str = "HOOKFIRE_PORTAL_TOKEN";

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Tenant")]
pub struct PortalArgs {
    /// The admin portal, such as `https://acme-admin.3scale.net` [default: the configuration's `portal.url`]
    #[arg(long, value_name = "URL", env = "HOOKFIRE_PORTAL_URL", value_hint = ValueHint::Url)]
    pub portal_url: Option<String>,
    /// The file with the token [default: the variable HOOKFIRE_PORTAL_TOKEN, else the configuration's `portal.token`]
    #[arg(long, value_name = "FILE", env = "HOOKFIRE_PORTAL_TOKEN_FILE", value_hint = ValueHint::FilePath)]
    pub portal_token_file: Option<PathBuf>,
}

/// Resolves the settings and the token, and builds the client.
pub fn client(
    args: &PortalArgs,
    transport: &TransportArgs,
    ctx: &Context<'_>,
) -> Result<PortalClient<'static>, Failure> {
    let configured = ctx.config()?.portal.as_ref();
    let url = args.portal_url.as_deref().filter(|url| !url.is_empty());
    let base = match (url, configured) {
        (Some(url), _) => base(url)?,
        (None, Some(portal)) => portal.url.clone(),
        (None, None) => {
            return Err(Failure::new(Kind::Config, "no portal configured: its URL is missing")
                    .hint(
                        "set `HOOKFIRE_PORTAL_URL`, such as https://acme-admin.3scale.net, and `HOOKFIRE_PORTAL_TOKEN`",
                    )
                    .hint("or add `[portal]` with `url` and `token` to the file that `hookfire config path` names"));
        }
    };
    let configured = configured.filter(|portal| portal.url.same_origin(&base));
    let parameter = configured
        .and_then(|portal| portal.parameter.as_deref())
        .unwrap_or(DEFAULT_PARAMETER);
    let source = token(args, ctx, configured)?;
    let mut target = Target::new(base.clone());
    target.params.push(Param::secret(parameter, source.clone()));
    let token = source.resolve(&ctx.env).map_err(|e| {
        Failure::from_error(
            Kind::Secret,
            anyhow::Error::new(e).context("the portal's token cannot be read"),
        )
        .hint(format!(
            "set `{TOKEN_VARIABLE}`, or name a file with `--portal-token-file FILE`"
        ))
    })?;
    let options = match configured {
        Some(portal) => settings::transport(&transport.settings().or(&portal.settings)),
        None => settings::transport(&transport.settings()),
    };
    ctx.warn_of_exposure(&target, &options);
    let sender = ctx.clients.client(&target, &options, 0)?;
    let mut client = PortalClient::new(sender, base, parameter, token);
    client.mask(&proxy_credentials(&ctx.env, &options));
    Ok(client)
}

fn base(url: &str) -> Result<BaseUrl, Failure> {
    match BaseUrl::parse(url) {
        Ok((base, query)) if query.is_empty() => Ok(base),
        Ok(_) => {
            let hint = format!("pass the token in the variable `{TOKEN_VARIABLE}` or in a file");
            Err(Failure::usage("the portal's URL must not have a query").hint(hint))
        }
        Err(e) => Err(Failure::from_error(Kind::Usage, e)
            .context("the portal's URL cannot be used".to_owned())),
    }
}

/// The flag, the token's variable, the flag's variable, the configuration.
fn token(
    args: &PortalArgs,
    ctx: &Context<'_>,
    configured: Option<&config::Portal>,
) -> Result<SecretSource, Failure> {
    let file = args
        .portal_token_file
        .clone()
        .filter(|path| !path.as_os_str().is_empty());
    let file = file.map(|path| SecretSource::File(path).anchored(&ctx.env.folder()));
    let variable = ctx
        .env
        .var(TOKEN_VARIABLE)
        .filter(|value| !value.is_empty());
    let variable = variable.map(|_| SecretSource::Env(TOKEN_VARIABLE.to_owned()));
    let flagged = ctx.is_flag("portal_token_file");
    let found = if flagged {
        file.or(variable)
    } else {
        variable.or(file)
    };
    found.or_else(|| configured.and_then(|portal| portal.token.clone())).ok_or_else(|| {
        Failure::new(Kind::Secret, "no access token for the portal")
            .hint(format!("set `{TOKEN_VARIABLE}`, name a file with `--portal-token-file FILE`, or configure `portal.token`"))
            .hint("a configured token is used only with the configured `portal.url`")
    })
}
