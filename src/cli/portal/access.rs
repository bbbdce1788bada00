//! Which tenant, with which token, over which connection.
//!
//! A token of the configuration is for the tenant of the configuration, and goes to no other.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::args::TransportArgs;
use crate::cli::context::Context;
use crate::cli::settings;
use crate::config;
use crate::delivery::target::{Param, Target};
use crate::engine::plan::proxy_credentials;
use crate::error::{Failure, Kind};
use crate::http::Client;
use crate::portal::Portal;
use crate::secret::safe_url::BaseUrl;
use crate::secret::{Secret, SecretSource, Variables as _};

/// The parameter that carries the token.
const PARAMETER: &str = "access_token";
/// The variable that holds the token.
const TOKEN: &str = "HOOKFIRE_PORTAL_TOKEN";

/// Which tenant.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Tenant")]
pub struct PortalArgs {
    /// The tenant's admin portal, such as `https://acme-admin.3scale.net` [default: the configuration's `portal.url`]
    #[arg(long, value_name = "URL", env = "HOOKFIRE_PORTAL_URL", hide_env_values = true, value_hint = ValueHint::Url)]
    pub portal_url: Option<String>,
    /// The file with the token [default: the variable HOOKFIRE_PORTAL_TOKEN, else the configuration's `portal.token`]
    #[arg(long, value_name = "FILE", env = "HOOKFIRE_PORTAL_TOKEN_FILE", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub portal_token_file: Option<PathBuf>,
}

/// All that asking a tenant takes.
pub struct Access {
    sender: Client,
    base: BaseUrl,
    parameter: String,
    token: Secret,
    /// What else may be in the tenant's answers and is not to be shown.
    pub others: Vec<Secret>,
}

impl Access {
    /// Decides, looks the token up, and builds the client.
    ///
    /// # Errors
    /// When no tenant or no token is to be had.
    pub fn of(
        args: &PortalArgs,
        transport: &TransportArgs,
        ctx: &Context<'_>,
    ) -> Result<Access, Failure> {
        let configured = ctx.config()?.portal.as_ref();
        let url = args.portal_url.as_deref().filter(|url| !url.is_empty());
        let base = match (url, configured) {
            (Some(url), _) => base(url)?,
            (None, Some(portal)) => portal.url.clone(),
            (None, None) => {
                return Err(Failure::usage("no tenant: neither the configuration nor the environment names its URL")
                    .hint(
                        "set `HOOKFIRE_PORTAL_URL`, such as https://acme-admin.3scale.net, and `HOOKFIRE_PORTAL_TOKEN`",
                    )
                    .hint("or add `[portal]` with `url` and `token` to the file that `hookfire config path` names"));
            }
        };
        let configured = configured.filter(|portal| portal.url.same_origin(&base));
        let parameter = configured
            .and_then(|portal| portal.parameter.as_deref())
            .unwrap_or(PARAMETER);
        let source = token(args, ctx, configured)?;
        let params = vec![Param::secret(parameter, source.clone())];
        let target = Target {
            base: base.clone(),
            params,
            headers: Vec::new(),
        };
        let token = source.resolve(&ctx.env).map_err(|e| {
            Failure::from_error(
                Kind::Secret,
                anyhow::Error::new(e).context("the portal's token cannot be had"),
            )
            .hint(format!(
                "set `{TOKEN}`, or name a file with `--portal-token-file FILE`"
            ))
        })?;
        let options = match configured {
            Some(portal) => settings::transport(&transport.settings().or(&portal.settings)),
            None => settings::transport(&transport.settings()),
        };
        ctx.warn_of_exposure(&target, &options);
        let others = proxy_credentials(&ctx.env, &options);
        Ok(Access {
            sender: ctx.clients.client(&target, &options, 0)?,
            base,
            parameter: parameter.to_owned(),
            token,
            others,
        })
    }

    /// The tenant.
    pub fn portal(&self) -> Portal<'_> {
        Portal::new(
            &self.sender,
            self.base.clone(),
            &self.parameter,
            self.token.clone(),
            &self.others,
        )
    }
}

fn base(url: &str) -> Result<BaseUrl, Failure> {
    let parsed = BaseUrl::parse(url).map_err(|e| {
        Failure::from_error(Kind::Usage, e).context("the portal's URL cannot be used".to_owned())
    });
    let (base, query) = parsed?;
    if !query.is_empty() {
        return Err(
            Failure::usage("the portal's URL has a query; no parameter of it is needed").hint(
                format!("the token is given in the variable `{TOKEN}` or in a file"),
            ),
        );
    }
    Ok(base)
}

/// Where the token comes from: the flag, the variable, the flag's variable, the configuration.
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
    let variable = ctx.env.var(TOKEN).filter(|value| !value.is_empty());
    let variable = variable.map(|_| SecretSource::Env(TOKEN.to_owned()));
    let flagged = ctx.is_flag("portal_token_file");
    let found = if flagged {
        file.or(variable)
    } else {
        variable.or(file)
    };
    found.or_else(|| configured.and_then(|portal| portal.token.clone())).ok_or_else(|| {
        Failure::new(Kind::Secret, "no token for the tenant")
            .hint(format!("set `{TOKEN}`, name a file with `--portal-token-file FILE`, or configure `portal.token`"))
            .hint("a token of the configuration is only for the tenant whose `portal.url` is there")
    })
}
