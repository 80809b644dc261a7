//! The label for setting a device up: the code that opens its configuration page with the setup key, and the code that joins
//! a phone to the device's own network where that has a password.

use vitalwire_access::DeviceId;
use vitalwire_device::modem::ACCESS_POINT_ADDRESS;
pub use vitalwire_device::setup::NETWORK_NAME as NETWORK;
use vitalwire_registry::SetupSecrets;
use zeroize::Zeroizing;

use super::{Label, LabelError, Part, key_digits};

/// The address that opens the configuration page; the key stays in the browser, as what follows `#` does.
#[must_use]
pub fn page_url(secrets: &SetupSecrets) -> Zeroizing<String> {
    Zeroizing::new(format!("http://{ACCESS_POINT_ADDRESS}/#{}", key_digits(secrets.key()).as_str()))
}

/// The text that joins a phone to the device's own network. Neither name nor password hold what would have to be escaped.
#[must_use]
pub fn wifi_code(secrets: &SetupSecrets) -> Zeroizing<String> {
    Zeroizing::new(format!("WIFI:T:WPA;S:{NETWORK};P:{};;", secrets.access_point_password()))
}

/// The label: with the network's code first, as a phone joins before it opens the page.
///
/// # Errors
/// Never in practice: the texts are short enough for codes.
pub fn setup_label(
    device: &DeviceId,
    secrets: &SetupSecrets,
    has_password: bool,
) -> Result<Label, LabelError> {
    let (wifi, page) = (wifi_code(secrets), page_url(secrets));
    let page = |caption| Part { text: &page, caption };
    if has_password {
        let wifi = Part { text: &wifi, caption: format!("1. join {NETWORK}") };
        Label::of(&[wifi, page(format!("2. set up {device}"))])
    } else {
        Label::of(&[page(format!("set up {device}"))])
    }
}
