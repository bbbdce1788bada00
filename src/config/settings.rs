//! The settings that decide how deliveries are sent, and where each value comes from.
//!
//! [`Settings`] is one layer: the options of a command line, or a table of the configuration file, with every setting
//! optional. [`Settings::or`] puts one layer over another, and what no layer sets has its default. [`SETTINGS`] lists
//! them for `config show`.

use std::path::PathBuf;
use std::time::Duration;

use crate::delivery::host_addresses::HostAddresses;
use crate::delivery::retry_policy::{RetryPolicy, RetrySchedule, StatusRanges};
use crate::delivery::switches::{EventPattern, WebhookSwitches};
use crate::event::{BodyFormat, ElementOrder};
use crate::secret::{Secret, safe_url};
use crate::text::named_enum;
use crate::time::compact;

named_enum! {
    /// Where the value of a setting comes from, from the one that wins to the one that yields.
    pub enum SettingSource {
        Flag = "option",
        Environment = "environment",
        File = "file",
        Default = "default",
    }
}

/// A setting by its name, with texts to show it.
pub struct SettingRow {
    /// Also the id of the option that sets it, if there is one.
    pub name: &'static str,
    pub default: Option<&'static str>,
    /// Its value in a layer.
    pub value: fn(&Settings) -> Option<String>,
}

/// Declares the settings: name, type, default as text, and how to show a value.
macro_rules! settings {
    ($($name:ident: $type:ty = $default:expr, $show:expr;)*) => {
        /// One layer of settings; fields are named as in the configuration file.
        #[derive(Clone, Debug, Default)]
        pub struct Settings {
            $(pub $name: Option<$type>,)*
        }

        /// Every setting, in the order in which `config show` prints them.
        pub const SETTINGS: &[SettingRow] = &[
            $(SettingRow {
                name: stringify!($name),
                default: $default,
                value: |settings| settings.$name.as_ref().map($show),
            },)*
        ];

        impl Settings {
            fn merged(self, lower: &Settings) -> Settings {
                Settings {
                    $($name: self.$name.or_else(|| lower.$name.clone()),)*
                }
            }
        }
    };
}

settings! {
    retries: u32 = Some("5"), ToString::to_string;
    retry_interval: Duration = Some("60s"), |interval| compact(*interval);
    retry_schedule: RetrySchedule = None, ToString::to_string;
    success: StatusRanges = Some("200"), ToString::to_string;
    timeout: Duration = Some("30s"), |timeout| compact(*timeout);
    connect_timeout: Duration = Some("10s"), |timeout| compact(*timeout);
    cacert: PathBuf = None, |path| path.display().to_string();
    cert: PathBuf = None, |path| path.display().to_string();
    key: PathBuf = None, |path| path.display().to_string();
    insecure: bool = Some("false"), ToString::to_string;
    // A proxy's URL may contain a password.
    proxy: Secret = None, |proxy| safe_url::shown(proxy.expose());
    resolve: Vec<HostAddresses> = None, |all| shown_addresses(all);
    wire: BodyFormat = Some("xml"), |wire| wire.as_str().to_owned();
    compat: ElementOrder = Some("documented"), |order| order.as_str().to_owned();
    active: bool = Some("true"), ToString::to_string;
    provider_actions: bool = Some("false"), ToString::to_string;
    // No list means all events, an empty one none.
    events: Vec<EventPattern> = Some("all"), |events| event_names(events);
}

fn shown_addresses(all: &[HostAddresses]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(" ")
}

fn event_names(events: &[EventPattern]) -> String {
    if events.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = events.iter().map(EventPattern::as_str).collect();
    names.join(", ")
}

impl Settings {
    /// These settings, and those of `lower` where these have none. A retry schedule takes the place of the number of retries
    /// and the interval, and the other way round.
    #[must_use]
    pub fn or(self, lower: &Settings) -> Settings {
        let is_scheduled = self.retry_schedule.is_some();
        let is_fixed = self.retries.is_some() || self.retry_interval.is_some();
        let mut lower = lower.clone();
        if is_scheduled {
            (lower.retries, lower.retry_interval) = (None, None);
        }
        if is_fixed {
            lower.retry_schedule = None;
        }
        self.merged(&lower)
    }

    /// Whether a setting says how often or when to retry.
    pub fn sets_retries(&self) -> bool {
        self.retries.is_some() || self.retry_interval.is_some() || self.retry_schedule.is_some()
    }

    pub fn retry_policy(&self) -> RetryPolicy {
        let default = RetryPolicy::default();
        let scheduled = self.retry_schedule.as_ref().map(RetrySchedule::retries);
        RetryPolicy {
            retries: scheduled.or(self.retries).unwrap_or(default.retries),
            interval: self.retry_interval.unwrap_or(default.interval),
            schedule: self.retry_schedule.clone(),
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
