//! Builds the dashboard's page as `npm` of `crates/web` says. Then each file is compressed once, so that no server ever does it.

#[path = "../web/npm.rs"]
mod npm;

use std::error::Error;
use std::path::Path;

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
    let page = npm::Page::copied(PAGE, &SOURCES, "the dashboard needs Node.js 20.19 or later with npm")?;
    page.run("npm", &["run", "build"], &page.folder)?;
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or("a path is not UTF-8");
    let (dist, out) = (text(&page.folder.join("dist"))?, text(&page.out)?);
    page.run("node", &["embed.mjs", &dist, &out], Path::new("."))
}
