//! `vitalwire emqx sync`: carries out what [`vitalwire_emqx::Sync`] plans, and asks again when that may help.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use vitalwire_access::UserName;
use vitalwire_emqx::{ApiKey, Failure, Outcome, Request, Retry, Sync};

use super::FileArgs;
use super::file::AccountsFile;
use super::http::{Answer, ApiUrl, Client, NoAnswer};
use crate::output::{Output, even_if_closed, note};
use crate::safety;
use crate::signals::asked_to_stop;

pub(super) const EXAMPLES: &str = "\
Examples:
  vitalwire emqx sync --url https://emqx.example:18083 --ca ca.pem
      --api-key-file api-keys --users emqx-users.toml
  vitalwire emqx sync --url http://127.0.0.1:18083 --api-key-file api-keys
      --users emqx-users.toml --dry-run

Users of EMQX that are not in the file, and never were, are left alone. The
rights are ours as a whole: rules of others in EMQX's ACL file are replaced. Who
lost a right or got another password is disconnected. A second run changes
nothing. Works with EMQX 5.8.";

/// Arguments of `vitalwire emqx sync`.
#[derive(Debug, Args)]
// On two lines, for terminals of 80 columns.
#[command(override_usage = "\
vitalwire emqx sync [OPTIONS] --url <URL>
           --api-key-file <FILE> --users <FILE>")]
pub(crate) struct SyncArgs {
    /// The address of EMQX's dashboard, which serves the REST API, too
    #[arg(long, value_name = "URL", env = "VITALWIRE_EMQX_URL", hide_env_values = true)]
    url: String,
    /// The file of the API key, KEY:SECRET, as EMQX's `api_key.bootstrap_file` has it; mode 0600
    #[arg(long, value_name = "FILE", env = "VITALWIRE_EMQX_API_KEY_FILE", hide_env_values = true)]
    api_key_file: PathBuf,
    #[command(flatten)]
    file: FileArgs,
    /// The CA certificate that vouches for the dashboard [default: those of the system]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_EMQX_CA", hide_env_values = true)]
    ca: Option<PathBuf>,
    /// Only look, and say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Take users over that have the name of one in the file and were made by someone else
    #[arg(long)]
    take_over: bool,
}

/// Runs `vitalwire emqx sync`.
///
/// # Errors
/// When a file or EMQX refuses; what was done until then is shown.
pub(crate) fn run(args: &SyncArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    // Not parsed by clap: its messages repeat what was typed, and that may hold a key.
    let url: ApiUrl = args.url.parse().context("--url")?;
    safety::check_secret_file(&args.api_key_file)?;
    let shown = args.api_key_file.display();
    let text = std::fs::read_to_string(&args.api_key_file).with_context(|| format!("cannot read {shown}"))?;
    let key = ApiKey::parse(&text).with_context(|| shown.to_string())?;
    let client = Client::new(url.clone(), &key, args.ca.as_deref())?;
    let mut file = AccountsFile::open(&args.file.users)?;
    let mut sync = Sync::new(file.accounts.clone(), args.dry_run, args.take_over);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = carry_out(&mut sync, &client, &mut file) => ended.with_context(|| url.to_string()),
            () = asked_to_stop() => Err(anyhow::anyhow!("stopped; the next run goes on from here")),
        }
    });
    even_if_closed(show(sync.outcomes(), out))?;
    ended.map(|()| ExitCode::SUCCESS)
}

async fn carry_out(sync: &mut Sync, client: &Client, file: &mut AccountsFile) -> anyhow::Result<()> {
    while let Some(request) = sync.request() {
        let answer = ask(client, &request).await?;
        sync.answer(answer.status, &answer.body)?;
        // Before the next request, so that a user that it makes is known to be ours whatever happens.
        if *sync.accounts() != file.accounts {
            file.accounts = sync.accounts().clone();
            file.save()?;
        }
    }
    Ok(())
}

/// Asks until there is an answer that counts.
async fn ask(client: &Client, request: &Request) -> anyhow::Result<Answer> {
    let mut retry = Retry::default();
    loop {
        let (failure, reason) = match client.ask(request).await {
            Ok(answer) => match Failure::of_status(answer.status, answer.retry_after_s) {
                None => return Ok(answer),
                Some(failure) => (failure, format!("EMQX is busy (HTTP {})", answer.status)),
            },
            Err(error @ NoAnswer::Certificate(_)) => return Err(error.into()),
            Err(error) => (Failure::Connection, error.to_string()),
        };
        let Some(delay) = retry.after(failure, rand::random()) else { bail!("{reason}; gave up") };
        note!("{reason}; asking again in {:.1} s", delay.as_secs_f64());
        tokio::time::sleep(delay).await;
    }
}

fn show(outcomes: &[Outcome], out: &mut Output<'_>) -> Result<(), crate::output::OutputError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let name = |outcome: &Outcome| outcome.user.as_ref().map_or("(rights)", UserName::as_str).to_owned();
    let width = outcomes.iter().map(|outcome| name(outcome).len()).max().unwrap_or(0).max("USER".len());
    writeln!(out, "{:width$}  RESULT", "USER")?;
    for outcome in outcomes {
        writeln!(out, "{:width$}  {}", name(outcome), outcome.change)?;
    }
    Ok(())
}
