//! What the paper's devices send, and the topics on which its subscribers read it.

/// A sample of the paper's device.
pub const JSON: &str = r#"{"Temp":"36.600","TempMcu":"23.700","PulseSig":"1.802","Acel_x":"0.000","Acel_y":"-0.12","Acel_z":"0.980","TempMpu":"23.400"}"#;

/// A sample whose pulse signal is `number`, to tell it from others.
pub fn numbered_json(number: usize) -> String {
    JSON.replace("1.802", &number.to_string())
}

/// The paper's eleven topics of a device.
pub fn eleven_topics(id: &str) -> Vec<String> {
    [
        "Physiological_Data/Temperature",
        "Physiological_Data/Pulse_Signal",
        "Physiological_Data/Accelerometer/x",
        "Physiological_Data/Accelerometer/y",
        "Physiological_Data/Accelerometer/z",
        "Internal_Device_Data/Temperature/MCU",
        "Internal_Device_Data/Temperature/MPU",
        "Ip_address",
        "Port_address",
        "Internal_Server/Ip_address",
        "Internal_Server/Port_address",
    ]
    .map(|suffix| format!("Pico/{id}/{suffix}"))
    .into()
}
