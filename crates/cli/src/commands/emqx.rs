//! `vitalwire emqx`: the users of an EMQX that carries our topics. They stand in a file of accounts, which `add`, `password` and
//! `remove` change; `sync` brings a running EMQX up to date with it.

mod file;
mod http;
mod sync;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use secrecy::SecretString;
use vitalwire_access::{DeviceId, UserName};
use vitalwire_emqx::{Role, SALT_LEN, User, Verifier};

use crate::commands::user::{PasswordArgs, RoleName, role};
use crate::output::{Output, note};
use file::AccountsFile;

/// The commands of `vitalwire emqx`.
#[derive(Debug, Subcommand)]
pub(crate) enum EmqxCommand {
    /// Add a user to the file of accounts; `sync` brings it to EMQX
    #[command(after_help = "\
Examples:
  vitalwire emqx add nurse --role reader --generate --users emqx-users.toml
  vitalwire emqx add family --role reader --device bed_07 --users FILE
  vitalwire emqx add vitalwire --role gateway --generate --users FILE

A gateway publishes what devices measured, and reads nothing: it is the user of
`vitalwire serve --mqtt-url`. The others may do what they may do at the
embedded broker. The file is made when it is missing; it is yours alone.")]
    Add(AddUser),
    /// Give a user another password in the file of accounts
    #[command(after_help = "Example:\n  vitalwire emqx password nurse --generate --users emqx-users.toml")]
    Password(SetPassword),
    /// Remove a user from the file of accounts; the next `sync` removes it from EMQX
    #[command(after_help = "Example:\n  vitalwire emqx remove family --users emqx-users.toml")]
    Remove(OneUser),
    /// Bring users and rights of a running EMQX up to date with the file of accounts
    #[command(after_help = sync::EXAMPLES)]
    Sync(sync::SyncArgs),
}

/// The file of accounts.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The file of accounts
    #[arg(long, value_name = "FILE", env = "VITALWIRE_EMQX_USERS", hide_env_values = true)]
    users: PathBuf,
}

/// A new user.
#[derive(Debug, Args)]
pub(crate) struct AddUser {
    /// The name to log in with: 1 to 64 of A-Z a-z 0-9 _ -
    name: UserName,
    /// What the user may do
    #[arg(long, value_enum)]
    role: EmqxRole,
    /// A device that it may see; may be given several times [default: all devices]
    #[arg(long = "device", value_name = "ID")]
    devices: Vec<DeviceId>,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    file: FileArgs,
}

/// A role, as written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EmqxRole {
    /// Publishes what devices measured
    Gateway,
    /// Reads the topics of all or of some devices
    Reader,
    /// The same at a broker
    Clinician,
    /// Reads everything
    Admin,
}

/// A user and where its new password comes from.
#[derive(Debug, Args)]
pub(crate) struct SetPassword {
    /// The user's name
    name: UserName,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    file: FileArgs,
}

/// One user.
#[derive(Debug, Args)]
pub(crate) struct OneUser {
    /// The user's name
    name: UserName,
    #[command(flatten)]
    file: FileArgs,
}

/// Runs `vitalwire emqx`.
///
/// # Errors
/// When the file, the password's source or EMQX refuses; the message says what to do.
pub(crate) fn run(command: EmqxCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        EmqxCommand::Add(AddUser { name, role, devices, password, file }) => {
            let role = role.of(devices)?;
            let mut file = AccountsFile::open_or_new(&file.users)?;
            // Before a password is shown that would be stored nowhere.
            file.accounts.check_new(&name)?;
            let verifier = verifier(&password.obtain(&name, out)?);
            file.accounts.add(User { name: name.clone(), role, verifier })?;
            file.save()?;
            note!("Added {name}; `vitalwire emqx sync` brings it to EMQX.");
        }
        EmqxCommand::Password(SetPassword { name, password, file }) => {
            let mut file = AccountsFile::open(&file.users)?;
            file.accounts.check_known(&name)?;
            let verifier = verifier(&password.obtain(&name, out)?);
            file.accounts.set_password(&name, verifier)?;
            file.save()?;
            note!("{name} has a new password; `vitalwire emqx sync` brings it to EMQX.");
        }
        EmqxCommand::Remove(OneUser { name, file }) => {
            let mut file = AccountsFile::open(&file.users)?;
            file.accounts.remove(&name)?;
            file.save()?;
            writeln!(out, "Removed {name}; `vitalwire emqx sync` removes it from EMQX.")?;
        }
        EmqxCommand::Sync(args) => return sync::run(&args, out),
    }
    Ok(ExitCode::SUCCESS)
}

impl EmqxRole {
    fn of(self, devices: Vec<DeviceId>) -> anyhow::Result<Role> {
        match self {
            Self::Gateway if devices.is_empty() => Ok(Role::Gateway),
            Self::Gateway => anyhow::bail!("a gateway publishes for all devices: leave --device out"),
            Self::Reader => role(RoleName::Reader, devices).map(Role::Person),
            Self::Clinician => role(RoleName::Clinician, devices).map(Role::Person),
            Self::Admin => role(RoleName::Admin, devices).map(Role::Person),
        }
    }
}

fn verifier(password: &SecretString) -> Verifier {
    Verifier::new(password, rand::random::<[u8; SALT_LEN]>())
}
