//! Builds the pages with npm and Node.js, in a copy under Cargo's output folder: nothing is written beside the sources.
//! npm's ordinary client fetches what package-lock.json names; no script of a package is run.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What the pages are built from.
const SOURCES: [&str; 4] = ["package.json", "package-lock.json", "build.mjs", "configuration"];

fn main() -> Result<(), Box<dyn Error>> {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("Cargo names no OUT_DIR")?);
    let folder = out.join("npm");
    fs::create_dir_all(&folder)?;
    // Packages that are there stay, unless others are named now.
    let is_installed = folder.join("node_modules/.package-lock.json").exists()
        && same(Path::new("package-lock.json"), &folder.join("package-lock.json"))?;
    for source in SOURCES {
        copy(Path::new(source), &folder.join(source))?;
    }
    if !is_installed {
        run(
            "npm",
            &["ci", "--omit=dev", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"],
            &folder,
        )?;
    }
    run("node", &["build.mjs", out.to_str().ok_or("OUT_DIR is not UTF-8")?], &folder)
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(other.exists() && fs::read(one)? == fs::read(other)?)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
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
        format!(
            "could not start {program}: {error}; the configuration page needs Node.js 20.11 or later with npm"
        )
    })?;
    if ended.status.success() {
        return Ok(());
    }
    let said = [ended.stdout, ended.stderr].concat();
    Err(format!("{program} {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&said)).into())
}
