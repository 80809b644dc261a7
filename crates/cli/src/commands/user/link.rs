//! `vitalwire user link`: a link that logs a user in to the dashboard, once. It is shown before it works.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use vitalwire_access::UserName;
use vitalwire_dashboard::LoginLink;

use crate::config::{Layers, SettingArgs};
use crate::output::{Output, note};
use crate::{data, login_link, page};

/// How long a link may wait: who was not there within a week asks for another.
const LASTS_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Whom a link logs in, and for how long.
#[derive(Debug, Args)]
pub(crate) struct MakeLink {
    /// The user's name
    name: UserName,
    /// How long it can be used, such as 30m or 24h; 7d at most
    #[arg(long = "for", value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    lasts: Duration,
    /// Where browsers find the dashboard, as https://HOST:PORT [default: by the settings of `serve`]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    settings: SettingArgs<false>,
}

/// Makes the link.
///
/// # Errors
/// When there is no such user, no address, or the link cannot be kept.
pub(super) fn run(args: &MakeLink, out: &mut Output<'_>) -> anyhow::Result<()> {
    let (name, lasts) = (&args.name, args.lasts);
    if lasts.is_zero() || lasts > LASTS_MAX {
        bail!("--for {}: want more than 0 and at most 7d", humantime::format_duration(lasts));
    }
    let settings = Layers::load(&args.settings)?.resolve(data::own_certificate)?;
    let registry = data::open(&settings.data, settings.master_key.as_deref())?;
    registry.check_user(name)?;
    let url = match &args.url {
        Some(url) if page::is_address(url) => url.clone(),
        Some(url) => bail!("--url {url}: write https://HOST or https://HOST:PORT, without a path"),
        None => page::address(settings.dashboard.as_ref())?,
    };
    let (link, time) = (LoginLink::generate(), humantime::format_duration(lasts));
    note!("This link logs {name} in, once and within {time}:");
    out.show_secret(format_args!("{}\n", link.at(&url).as_str()))?;
    login_link::keep(&link, &registry, &settings.data, name, lasts)
}
