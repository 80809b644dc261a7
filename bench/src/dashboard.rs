//! The dashboard's figures. A browser measures them, so a program for Node.js does: `bench/dashboard`. This finds what it needs.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{Side, ours};

/// What of the dashboard is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct DashboardArguments {
    /// Only these of page, load, viewers, picture and crowd
    parts: Vec<String>,
    /// A line of JSON a part in place of the table
    #[arg(long)]
    json: bool,
}

/// Becomes that program, so that who stops this one stops it; returns only when that fails.
pub(crate) fn run(
    arguments: &DashboardArguments,
    is_quick: bool,
    side: Side,
    binary: Option<PathBuf>,
) -> Result<()> {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = bench.parent().context("the bench lies in the workspace")?;
    let peer = (side != Side::Ours).then_some("deploy/nodered");
    for folder in ["web/dashboard"].into_iter().chain(peer) {
        ensure!(
            root.join(folder).join("node_modules").is_dir(),
            "the npm packages of {folder} are missing: (cd {folder} && npm ci --ignore-scripts)"
        );
    }
    let vitalwire = binary.map_or_else(ours::build, Ok)?.canonicalize()?;
    let mut node = Command::new("node");
    node.arg(bench.join("dashboard/main.mjs")).arg("--vitalwire").arg(vitalwire);
    node.args(is_quick.then_some("--quick")).args(arguments.json.then_some("--json"));
    node.args(peer.is_none().then_some("--side=ours")).args(&arguments.parts);
    Err(node.exec()).context("cannot start node; install Node.js 20")
}
