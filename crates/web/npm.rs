//! How the crates with pages build them: with npm and Node.js, in a copy under Cargo's output folder, so that nothing is written
//! beside the sources. npm's ordinary client fetches what package-lock.json names; no script of a package is run.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// A page's sources, copied to where they are built.
pub(crate) struct Page {
    /// Cargo's output folder.
    pub(crate) out: PathBuf,
    /// The copy, with the packages that it needs.
    pub(crate) folder: PathBuf,
    /// What people are told when a program cannot be started.
    needs: &'static str,
}

impl Page {
    /// Copies these files and folders out of `page`, and installs what package-lock.json names.
    pub(crate) fn copied(page: &str, sources: &[&str], needs: &'static str) -> Result<Self, Box<dyn Error>> {
        let page = Path::new(page);
        for source in sources {
            println!("cargo::rerun-if-changed={}", page.join(source).display());
        }
        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("Cargo names no OUT_DIR")?);
        let folder = out.join("npm");
        fs::create_dir_all(&folder)?;
        // Packages that are there stay, unless others are named now.
        let is_installed = folder.join("node_modules/.package-lock.json").exists()
            && same(&page.join("package-lock.json"), &folder.join("package-lock.json"))?;
        for source in sources {
            copy(&page.join(source), &folder.join(source))?;
        }
        let copied = Self { out, folder, needs };
        if !is_installed {
            let install =
                ["ci", "--omit=dev", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
            copied.run("npm", &install, &copied.folder)?;
        }
        Ok(copied)
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str], folder: &Path) -> Result<(), Box<dyn Error>> {
        let ended = Command::new(program).args(arguments).current_dir(folder).output();
        let ended = ended.map_err(|error| format!("could not start {program}: {error}; {}", self.needs))?;
        if ended.status.success() {
            return Ok(());
        }
        let said = [ended.stdout, ended.stderr].concat();
        Err(format!("{program} {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&said)).into())
    }
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
