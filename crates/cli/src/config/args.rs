//! The settings as flags and environment variables of a command, made from the table.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches};

use super::Values;
use super::setting::Setting;
use super::table::settings;
use super::value::Unit;

/// What flags and environment say of settings. With `SHOWN` the help page lists those that people set; each command that
/// takes them takes them all.
#[derive(Debug, Default, Clone)]
pub(crate) struct SettingArgs<const SHOWN: bool> {
    pub(super) config: Option<PathBuf>,
    pub(super) given: Vec<Given>,
}

/// The text given for one setting.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// Its place in the table.
    pub(super) index: usize,
    pub(super) text: String,
    pub(super) is_flag: bool,
}

/// The settings file is no setting: it cannot name itself.
const CONFIG: &str = "config";

/// Settings that help pages show also where the others are hidden.
const ALWAYS_SHOWN: [&str; 2] = ["data", "master_key"];

impl SettingArgs<false> {
    /// What the environment alone says, for a command whose flags are others.
    pub(crate) fn of_environment() -> Self {
        let of = |(index, (_, names)): (usize, (&Setting, &super::Names))| {
            let text = std::env::var(&names.variable).ok().filter(|text| !text.is_empty())?;
            Some(Given { index, text, is_flag: false })
        };
        Self { config: None, given: settings().enumerate().filter_map(of).collect() }
    }
}

impl<const SHOWN: bool> clap::Args for SettingArgs<SHOWN> {
    fn augment_args(command: Command) -> Command {
        let defaults = Values::default();
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .env("VITALWIRE_CONFIG")
            .hide_env_values(true)
            .value_parser(ValueParser::path_buf())
            .help("The settings file [default: DIR/vitalwire.toml]");
        settings().fold(command.arg(config), |command, (setting, names)| {
            let is_hidden = setting.is_limit() || !(SHOWN || ALWAYS_SHOWN.contains(&setting.key));
            command.arg(
                Arg::new(setting.key)
                    .long(names.flag.as_str())
                    .env(names.variable.as_str())
                    .hide_env_values(true)
                    .value_name(value_name(setting))
                    .action(if setting.place.is_list() { ArgAction::Append } else { ArgAction::Set })
                    .value_parser(ValueParser::string())
                    .help(help(setting, &defaults))
                    .hide(is_hidden),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn value_name(setting: &Setting) -> &'static str {
    match (setting.unit, setting.name()) {
        (Unit::Milliseconds, _) => "MS",
        (Unit::Seconds, _) => "S",
        (Unit::Days, _) => "DAYS",
        (Unit::Kibibytes, _) => "KIB",
        (Unit::Mebibytes, _) => "MIB",
        (Unit::None, "data") => "DIR",
        (Unit::None, "url") => "URL",
        (
            Unit::None,
            "master_key"
            | "tls_cert"
            | "tls_key"
            | "ca"
            | "password_file"
            | "webhook_secret_file"
            | "webhook_ca",
        ) => "FILE",
        (Unit::None, "allow_plain") => "CIDR",
        (Unit::None, name) if name.ends_with("listen") => "ADDR",
        (Unit::None, name) if name.ends_with("proxies") => "ADDRS",
        (Unit::None, "origins") => "SITES",
        (Unit::None, "hosts") => "HOSTS",
        (Unit::None, "webhooks") => "URLS",
        (Unit::None, "webhook_values") => "true|false",
        (Unit::None, "webhook_allowed_hosts") => "HOSTS",
        (Unit::None, _) => "N",
    }
}

fn help(setting: &Setting, defaults: &Values) -> String {
    let default = setting.place.show(defaults, setting.unit);
    let default = default.unwrap_or_else(|| setting.unset.to_owned());
    match setting.key {
        "data" => setting.about.to_owned(),
        _ => format!("{} [default: {default}]", setting.about),
    }
}

impl<const SHOWN: bool> FromArgMatches for SettingArgs<SHOWN> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.config = matches.get_one::<PathBuf>(CONFIG).cloned();
        for (index, (setting, _)) in settings().enumerate() {
            let is_flag = matches.value_source(setting.key) == Some(ValueSource::CommandLine);
            // An empty variable is what `VITALWIRE_X=${X}` leaves when X is not set.
            let Some(texts) = matches.get_many::<String>(setting.key) else { continue };
            let text = texts.map(String::as_str).collect::<Vec<_>>().join(", ");
            if is_flag || !text.is_empty() {
                self.given.push(Given { index, text, is_flag });
            }
        }
        Ok(())
    }
}
