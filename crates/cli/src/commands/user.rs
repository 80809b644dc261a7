//! `vitalwire user`: who may log in to the MQTT broker and the dashboard, and what they may do there. Prints a password only when it made
//! it, and once.

mod link;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use vitalwire_access::{DeviceId, Role, Scope, UserName};
use vitalwire_registry::User;

use crate::args::DataArgs;
use crate::output::{Output, note};
use crate::secrets;

/// The commands of `vitalwire user`.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user
    #[command(after_help = "\
Examples:
  vitalwire user add nurse --role reader --generate --data ./data
  vitalwire user add family --role reader --device bed_07 --data ./data
  vitalwire user add ana --role clinician --generate --data ./data
  pass show ward/node-red |
      vitalwire user add node-red --role reader --password-stdin --data ./data

A reader reads all devices, or only those named with --device. A clinician does
so, too, and acknowledges and pauses alarms of these devices in the dashboard
and sets their limits. An admin does all that, and also reads what the broker
says about itself. No one but the gateway publishes what devices measure. A
running server knows the user within a second.")]
    Add(AddUser),
    /// List the users, with their roles
    #[command(after_help = "Example:\n  vitalwire user list --data ./data")]
    List(ListUsers),
    /// Remove a user; live connections of it are closed within a second
    #[command(after_help = "Example:\n  vitalwire user remove family --data ./data")]
    Remove(OneUser),
    /// Set a user's password
    #[command(after_help = "Example:\n  vitalwire user password nurse --generate --data ./data")]
    Password(SetPassword),
    /// Make a link that logs a user in to the dashboard, once
    #[command(after_help = "\
Examples:
  vitalwire user link nurse --data ./data
  vitalwire user link nurse --for 30m --url https://ward.example --data ./data

Whoever opens the link first is that user, until then or until the time is
over; another password ends it, too. A server need not run while it is made.
It takes the settings of `vitalwire serve` to know the dashboard's address.")]
    Link(link::MakeLink),
}

/// A new user.
#[derive(Debug, Args)]
pub(crate) struct AddUser {
    /// The name to log in with: 1 to 64 of A-Z a-z 0-9 _ -
    name: UserName,
    /// What the user may do
    #[arg(long, value_enum)]
    role: RoleName,
    /// A device that it may see; may be given several times [default: all devices]
    #[arg(long = "device", value_name = "ID")]
    devices: Vec<DeviceId>,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    data: DataArgs,
}

/// A role, as written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Reads what all or some devices measure
    Reader,
    /// Reads it, and answers for alarms in the dashboard
    Clinician,
    /// Reads everything
    Admin,
}

/// Where the password comes from; without either a person at the terminal is asked twice.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from standard input, one line
    #[arg(long, conflicts_with = "generate")]
    password_stdin: bool,
    /// Make a password and print it, once
    #[arg(long)]
    generate: bool,
}

/// All users of a data folder.
#[derive(Debug, Args)]
pub(crate) struct ListUsers {
    #[command(flatten)]
    data: DataArgs,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// One user of a data folder.
#[derive(Debug, Args)]
pub(crate) struct OneUser {
    /// The user's name
    name: UserName,
    #[command(flatten)]
    data: DataArgs,
}

/// A user and where its new password comes from.
#[derive(Debug, Args)]
pub(crate) struct SetPassword {
    /// The user's name
    name: UserName,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs `vitalwire user`.
///
/// # Errors
/// When the registry or the password's source refuses; the message says what to do.
pub(crate) fn run(command: UserCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        UserCommand::Add(add) => {
            let role = role(add.role, add.devices)?;
            let registry = add.data.open()?;
            registry.check_new_user(&add.name, &role)?;
            let password = add.password.obtain(&add.name, out)?;
            registry.add_user(&add.name, role, &password)?;
            note!("Added {}.", add.name);
        }
        UserCommand::Password(set) => {
            let registry = set.data.open()?;
            registry.check_user(&set.name)?;
            let password = set.password.obtain(&set.name, out)?;
            registry.set_password(&set.name, &password)?;
            note!("{} has a new password.", set.name);
        }
        UserCommand::Remove(OneUser { name, data }) => {
            data.open()?.remove_user(&name)?;
            writeln!(out, "Removed {name}.")?;
        }
        UserCommand::Link(make) => link::run(&make, out)?,
        UserCommand::List(ListUsers { data, json }) => list(&data.open()?.users()?, json, &data, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The role of this name.
///
/// # Errors
/// When an admin would have devices.
pub(crate) fn role(name: RoleName, devices: Vec<DeviceId>) -> anyhow::Result<Role> {
    let devices = if devices.is_empty() { Scope::All } else { Scope::Named(devices.into_iter().collect()) };
    match name {
        RoleName::Admin if devices == Scope::All => Ok(Role::Admin),
        RoleName::Admin => {
            anyhow::bail!("an admin reads everything: leave --device out, or use another --role")
        }
        RoleName::Clinician => Ok(Role::Clinician { devices }),
        RoleName::Reader => Ok(Role::Reader { devices }),
    }
}

impl PasswordArgs {
    /// A password that is made here is shown once, before anything is stored; one that was given is not.
    pub(crate) fn obtain(&self, user: &UserName, out: &mut Output<'_>) -> anyhow::Result<SecretString> {
        if self.generate {
            let password = secrets::generate_password();
            note!("The password of {user}, not shown again:");
            out.show_secret(format_args!("{}\n", password.expose_secret()))?;
            return Ok(password);
        }
        if self.password_stdin { secrets::from_stdin() } else { secrets::ask_new(user.as_str()) }
    }
}

/// A user as scripts see it.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    role: &'static str,
    /// The devices that it sees; absent when it sees all.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<&'a str>>,
}

impl<'a> From<&'a User> for Listed<'a> {
    fn from(user: &'a User) -> Self {
        let devices = user.role.scope().named().map(|devices| devices.iter().map(DeviceId::as_str).collect());
        Self { name: user.name.as_str(), role: user.role.name(), devices }
    }
}

fn list(users: &[User], json: bool, data: &DataArgs, out: &mut Output<'_>) -> anyhow::Result<()> {
    let listed: Vec<Listed<'_>> = users.iter().map(Listed::from).collect();
    if json {
        writeln!(out, "{}", serde_json::to_string(&listed)?)?;
        return Ok(());
    }
    if listed.is_empty() {
        note!("No users yet. Add one:");
        note!("  vitalwire user add NAME --role reader --generate{}", data.flags());
        return Ok(());
    }
    let width = listed.iter().map(|user| user.name.len()).max().unwrap_or(0).max("USER".len());
    writeln!(out, "{:width$}  ROLE       DEVICES", "USER")?;
    for Listed { name, role, devices } in listed {
        let devices = devices.map_or("all".to_owned(), |devices| devices.join(" "));
        writeln!(out, "{name:width$}  {role:9}  {devices}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_devices_all_are_seen_and_an_admin_takes_none() {
        let bed: DeviceId = "bed_07".parse().unwrap();
        assert_eq!(role(RoleName::Reader, vec![]).unwrap(), Role::Reader { devices: Scope::All });
        assert!(matches!(
            role(RoleName::Reader, vec![bed.clone()]).unwrap(),
            Role::Reader { devices: Scope::Named(devices) } if devices.len() == 1
        ));
        assert_eq!(role(RoleName::Clinician, vec![]).unwrap(), Role::Clinician { devices: Scope::All });
        assert!(role(RoleName::Admin, vec![bed]).is_err());
    }
}
