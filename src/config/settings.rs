//! The settings that decide how deliveries are sent, and where each value comes from.
//!
//! [`Settings`] is one layer: the options of a command line, or a table of the configuration file, with every setting
//! optional. [`Settings::or`] puts one layer over another, and what no layer sets has its default. [`SETTINGS`] lists
//! them for `config show`.

use std::path::PathBuf;
use std::time::Duration;

use crate::delivery::retry_policy::{RetryPolicy, StatusRanges};
use crate::delivery::switches::{EventPattern, WebhookSwitches};
use crate::event::{BodyFormat, ElementOrder};
use crate::secret::{Secret, safe_url};
use crate::time::compact;

/// Where the value of a setting comes from, from the one that wins to the one that yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingSource {
    Flag,
    Environment,
    File,
    Default,
}

impl SettingSource {
    pub fn as_str(self) -> &'static str {
        match self {
            SettingSource::Flag => "flag",
            SettingSource::Environment => "environment",
            SettingSource::File => "file",
            SettingSource::Default => "default",
        }
    }
}

/// One layer of settings; fields are named as in the configuration file.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub retries: Option<u32>,
    pub retry_interval: Option<Duration>,
    pub success: Option<StatusRanges>,
    pub timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub cacert: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub insecure: Option<bool>,
    pub proxy: Option<Secret>,
    pub wire: Option<BodyFormat>,
    pub compat: Option<ElementOrder>,
    pub active: Option<bool>,
    pub provider_actions: Option<bool>,
    /// No list means all events, an empty one none.
    pub events: Option<Vec<EventPattern>>,
}

/// A setting by its name, with texts to show it.
pub struct SettingRow {
    /// Also the id of the option that sets it, if there is one.
    pub name: &'static str,
    pub default: Option<&'static str>,
    /// Its value in a layer.
    pub value: fn(&Settings) -> Option<String>,
}

/// Every setting, in the order in which `config show` prints them.
pub const SETTINGS: [SettingRow; 15] = [
    row("retries", Some("5"), |s| s.retries.map(|n| n.to_string())),
    row("retry_interval", Some("60s"), |s| {
        s.retry_interval.map(compact)
    }),
    row("success", Some("200"), |s| text(s.success.as_ref())),
    row("timeout", Some("30s"), |s| s.timeout.map(compact)),
    row("connect_timeout", Some("10s"), |s| {
        s.connect_timeout.map(compact)
    }),
    row("cacert", None, |s| path(s.cacert.as_ref())),
    row("cert", None, |s| path(s.cert.as_ref())),
    row("key", None, |s| path(s.key.as_ref())),
    row("insecure", Some("false"), |s| text(s.insecure.as_ref())),
    row("proxy", None, |s| {
        // A proxy's URL may contain a password.
        let proxy = s.proxy.as_ref()?;
        Some(safe_url::shown(proxy.expose()))
    }),
    row("wire", Some("xml"), |s| {
        s.wire.map(|wire| wire.as_str().to_owned())
    }),
    row("compat", Some("documented"), |s| {
        s.compat.map(|order| order.as_str().to_owned())
    }),
    row("active", Some("true"), |s| text(s.active.as_ref())),
    row("provider_actions", Some("false"), |s| {
        text(s.provider_actions.as_ref())
    }),
    row("events", Some("all"), |s| {
        s.events.as_deref().map(event_names)
    }),
];

const fn row(
    name: &'static str,
    default: Option<&'static str>,
    value: fn(&Settings) -> Option<String>,
) -> SettingRow {
    SettingRow {
        name,
        default,
        value,
    }
}

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

fn path(path: Option<&PathBuf>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

fn event_names(events: &[EventPattern]) -> String {
    if events.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = events.iter().map(EventPattern::as_str).collect();
    names.join(", ")
}

impl Settings {
    /// These settings, and those of `lower` where these have none.
    #[must_use]
    pub fn or(self, lower: &Settings) -> Settings {
        Settings {
            retries: self.retries.or(lower.retries),
            retry_interval: self.retry_interval.or(lower.retry_interval),
            success: self.success.or_else(|| lower.success.clone()),
            timeout: self.timeout.or(lower.timeout),
            connect_timeout: self.connect_timeout.or(lower.connect_timeout),
            cacert: self.cacert.or_else(|| lower.cacert.clone()),
            cert: self.cert.or_else(|| lower.cert.clone()),
            key: self.key.or_else(|| lower.key.clone()),
            insecure: self.insecure.or(lower.insecure),
            proxy: self.proxy.or_else(|| lower.proxy.clone()),
            wire: self.wire.or(lower.wire),
            compat: self.compat.or(lower.compat),
            active: self.active.or(lower.active),
            provider_actions: self.provider_actions.or(lower.provider_actions),
            events: self.events.or_else(|| lower.events.clone()),
        }
    }

    pub fn retry_policy(&self) -> RetryPolicy {
        let default = RetryPolicy::default();
        RetryPolicy {
            retries: self.retries.unwrap_or(default.retries),
            interval: self.retry_interval.unwrap_or(default.interval),
            success: self.success.clone().unwrap_or(default.success),
        }
    }

    pub fn switches(&self) -> WebhookSwitches {
        let default = WebhookSwitches::default();
        WebhookSwitches {
            active: self.active.unwrap_or(default.active),
            provider_actions: self.provider_actions.unwrap_or(default.provider_actions),
            events: self.events.clone(),
        }
    }

    pub fn body_format(&self) -> BodyFormat {
        self.wire.unwrap_or_default()
    }

    pub fn element_order(&self) -> ElementOrder {
        self.compat.unwrap_or_default()
    }
}
