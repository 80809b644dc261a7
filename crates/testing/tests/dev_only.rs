//! No program may hold what is for tests.

use std::process::Command;

use serde_json::Value;

#[test]
fn no_crate_depends_on_this_one_outside_its_tests() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
        "--manifest-path",
        manifest,
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut users = 0;
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            // The benches are no program of ours that anyone runs.
            if dependency["name"] == "vitalwire-signals" && package["name"] != "vitalwire-bench" {
                assert_eq!(dependency["kind"], "dev", "{}: name it in [dev-dependencies]", package["name"]);
            }
            if dependency["name"] == "vitalwire-testing" {
                assert_eq!(dependency["kind"], "dev", "{}: name it in [dev-dependencies]", package["name"]);
                users += 1;
            }
        }
    }
    assert!(users > 0, "no one uses it: the check looks at nothing");
}
