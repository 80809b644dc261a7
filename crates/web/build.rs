//! Builds the configuration page: see `npm`.

mod npm;

use std::error::Error;

/// What the page is built from.
const SOURCES: [&str; 4] = ["package.json", "package-lock.json", "build.mjs", "configuration"];

fn main() -> Result<(), Box<dyn Error>> {
    let needs = "the configuration page needs Node.js 20.11 or later with npm";
    let page = npm::Page::copied("", &SOURCES, needs)?;
    page.run("node", &["build.mjs", page.out.to_str().ok_or("OUT_DIR is not UTF-8")?], &page.folder)
}
