//! Pages for browsers, built by npm (build.rs): the configuration page that a device serves. It holds bytes and what must be
//! known to serve them; it serves nothing.

#![no_std]

use vitalwire_device::setup::Page;

/// The configuration page (PROTOCOL.md §5). A device adds its state, see [`vitalwire_device::setup`].
pub const CONFIGURATION_PAGE: Page = include!(concat!(env!("OUT_DIR"), "/configuration.rs"));
