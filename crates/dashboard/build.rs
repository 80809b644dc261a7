//! Builds the page with npm and Node.js, in a copy under Cargo's output folder: nothing is written beside the sources.
//! npm's ordinary client fetches what package-lock.json names; no script of a package is run. Then each file is compressed once, so that
//! no server ever does it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Where the page's sources are.
const PAGE: &str = "../../web/dashboard";
/// What the page is built from.
const SOURCES: [&str; 7] = [
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
    "svelte.config.js",
    "index.html",
    "src",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=embed.mjs");
    let page = Path::new(PAGE);
    for source in SOURCES {
        println!("cargo::rerun-if-changed={PAGE}/{source}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("Cargo names no OUT_DIR")?);
    let folder = out.join("npm");
    fs::create_dir_all(&folder)?;
    // Packages that are there stay, unless others are named now.
    let is_installed = folder.join("node_modules/.package-lock.json").exists()
        && same(&page.join("package-lock.json"), &folder.join("package-lock.json"))?;
    for source in SOURCES {
        copy(&page.join(source), &folder.join(source))?;
    }
    if !is_installed {
        let install = ["ci", "--omit=dev", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
        run("npm", &install, &folder)?;
    }
    run("npm", &["run", "build"], &folder)?;
    embed(&folder.join("dist"), &out)
}

fn embed(dist: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or("a path is not UTF-8");
    run("node", &["embed.mjs", &text(dist)?, &text(out)?], Path::new("."))
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(other.exists() && fs::read(one)? == fs::read(other)?)
}

/// Copies a file or a folder; what is no more in a folder goes from its copy, too.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), Box<dyn Error>> {
    let ended = Command::new(program).args(arguments).current_dir(folder).output().map_err(|error| {
        format!("could not start {program}: {error}; the dashboard needs Node.js 20.19 or later with npm")
    })?;
    if ended.status.success() {
        return Ok(());
    }
    let said = [ended.stdout, ended.stderr].concat();
    Err(format!("{program} {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&said)).into())
}
