//! `vitalwire init`: a data folder with fresh secrets. Never changes a folder that is in use, and never overwrites a key.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use secrecy::ExposeSecret;
use vitalwire_access::{Role, UserName};
use vitalwire_broker::generate_self_signed;
use vitalwire_dashboard::LoginLink;
use vitalwire_registry::{MasterKey, Registry, master_key_path};
use zeroize::Zeroizing;

use crate::config::{Layers, SettingArgs};
use crate::deploy::{self, Ids, Order, Renew};
use crate::output::Output;
use crate::private_file::write_new;
use crate::{config, data, login_link, page, secrets};

const EXAMPLES: &str = "\
Examples:
  vitalwire init --data ./data
  vitalwire init --data /var/lib/vitalwire --name ward7.example --name 10.1.2.3
  vitalwire init --deploy /deploy --name ward7.example

Makes the registry, a master key beside the folder (DIR.master-key: back it up
apart from the folder, neither is of use without the other), a self-signed
certificate for MQTT over TLS and the dashboard, the user `admin` with a
password and a login link for the dashboard, each printed once, and a commented
vitalwire.toml. On a folder that was made before it changes nothing.

With --deploy it makes the secrets of a deployment by containers, each in the
volume of the service that reads it (deploy/compose.yml): certificates of an
authority of its own, passwords, the data folder. What is there stays; a run
that was interrupted is completed by the next.";

const ADMIN: &str = "admin";

/// Arguments of `vitalwire init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// The data folder to make
    #[arg(
        long,
        value_name = "DIR",
        env = "VITALWIRE_DATA",
        hide_env_values = true,
        required_unless_present = "deploy"
    )]
    data: Option<PathBuf>,
    /// The file with the master key [default: a systemd credential, else DIR.master-key]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_MASTER_KEY", hide_env_values = true)]
    master_key: Option<PathBuf>,
    /// A name or address that MQTT clients and browsers will use, for the certificate; may be given several times, or with
    /// commas. This machine's own name and localhost are always in it
    #[arg(long = "name", value_name = "HOST", value_delimiter = ',')]
    names: Vec<String>,
    /// Make a deployment's secrets instead, in the volumes that are mounted below this folder
    #[arg(long, value_name = "DIR")]
    deploy: Option<PathBuf>,
    /// Of a deployment, make this again; may be given several times
    #[arg(long, value_enum, value_name = "WHAT", requires = "deploy")]
    renew: Vec<Renew>,
}

/// Runs `vitalwire init`.
///
/// # Errors
/// When the folder cannot be made; what was begun is taken away again.
pub(crate) fn run(args: &InitArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.deploy {
        let names: Vec<_> = args.names.iter().filter(|name| !name.is_empty()).cloned().collect();
        deploy::run(&Order { folder, names: &names, renew: &args.renew }, Ids::IMAGES, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    // The command line is refused without either.
    let folder = &args.data.clone().unwrap_or_default();
    if data::has_registry(folder)? {
        writeln!(out, "{} is a vitalwire data folder already; nothing was changed.", folder.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty and was not made by `vitalwire init`; choose a new folder", folder.display());
    }
    let key_path = master_key_path(folder, args.master_key.as_deref());
    let mut begun = Begun::default();
    let registry = make(folder, &args.names, &key_path, &mut begun)?;
    let (password, link) = (secrets::generate_password(), LoginLink::generate());
    let page = page_address(folder)?;
    let shown_link = page.as_deref().map(|page| link.at(page));
    let summary =
        summary(folder, &key_path, password.expose_secret(), shown_link.as_ref().map(|text| text.as_str()));
    out.show_secret(format_args!("{}", summary.as_str()))?;
    let admin: UserName = ADMIN.parse()?;
    registry.add_user(&admin, Role::Admin, &password)?;
    if page.is_some() {
        begun.files.extend(database_files(&folder.join(vitalwire_dashboard::DATABASE_FILE)));
        login_link::keep(&link, &registry, folder, &admin, login_link::LASTS)?;
    }
    begun.keep();
    Ok(ExitCode::SUCCESS)
}

/// Where browsers will find the dashboard; nothing when the settings do not say.
fn page_address(folder: &Path) -> anyhow::Result<Option<String>> {
    let layers = Layers::load(&SettingArgs::of_environment())?.or_data(folder);
    Ok(page::address(layers.resolve(data::own_certificate)?.dashboard.as_ref()).ok())
}

fn make(folder: &Path, names: &[String], key_path: &Path, begun: &mut Begun) -> anyhow::Result<Registry> {
    if !folder.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        begun.folders.push(folder.to_owned());
    }
    // A master key that is there already (a systemd credential, a restored backup) is used, not replaced.
    let master = if key_path.exists() {
        MasterKey::load(key_path)?
    } else {
        let master = MasterKey::create(key_path)?;
        begun.files.push(key_path.to_owned());
        master
    };
    let settings = folder.join(config::FILE_NAME);
    begun.files.push(settings.clone());
    // Everything in it is commented out, so that defaults hold.
    write_new(&settings, config::template().as_bytes())?;
    let tls = folder.join(data::TLS_FOLDER);
    begun.folders.push(tls.clone());
    DirBuilder::new().mode(0o700).create(&tls).with_context(|| format!("cannot make {}", tls.display()))?;
    let identity = generate_self_signed(&tls, &certificate_names(names))?;
    begun.files.extend([identity.certificate, identity.key]);
    // The registry last: a folder that has one is complete.
    begun.files.extend(database_files(&folder.join(vitalwire_registry::DATABASE_FILE)));
    Ok(Registry::create(folder, &master)?)
}

/// A file of SQLite, and those that it makes beside it.
fn database_files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

/// What was made so far; taken away again unless it is kept. Only files and empty folders go, never anything found.
#[derive(Default)]
struct Begun {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Begun {
    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // What cannot be removed stays; the error that brought us here is the one to tell.
        for file in self.files.iter().rev() {
            let _ = std::fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn certificate_names(wanted: &[String]) -> Vec<String> {
    let mut names = wanted.to_vec();
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    for name in [own.trim(), "localhost", "127.0.0.1", "::1"] {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn summary(folder: &Path, key_path: &Path, password: &str, link: Option<&str>) -> Zeroizing<String> {
    let time = humantime::format_duration(login_link::LASTS);
    let link = Zeroizing::new(link.map_or_else(String::new, |link| {
        format!(
            "\
  dashboard              {link}
                         (logs {ADMIN} in, once and within {time}, while `serve` runs)
"
        )
    }));
    let link = link.as_str();
    let (folder, key_path) = (folder.display(), key_path.display());
    let (registry, settings, tls) = (vitalwire_registry::DATABASE_FILE, config::FILE_NAME, data::TLS_FOLDER);
    Zeroizing::new(format!(
        "\
Made {folder}
  registry               {folder}/{registry}
  settings               {folder}/{settings}
  certificate            {folder}/{tls}/ (self-signed, for MQTT over TLS and the dashboard)
  master key             {key_path}
                         (keep a copy apart from the folder)
  user                   {ADMIN} (MQTT and the dashboard)
  password               {password}   (not shown again)
{link}
Next:
  vitalwire device add NAME --data {folder}
  vitalwire user add NAME --role reader --generate --data {folder}
  vitalwire serve --data {folder}
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_names_this_machine_and_each_wish_once() {
        let names = certificate_names(&["ward7.example".to_owned(), "localhost".to_owned()]);
        assert_eq!(names.first().map(String::as_str), Some("ward7.example"));
        assert_eq!(names.iter().filter(|name| *name == "localhost").count(), 1);
    }
}
