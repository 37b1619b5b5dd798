use backend_openvino::{OpenvinoBackend, OpenvinoConfig, devices};

/// Prints the devices, and opens a model on one of them. Files of compiled models go to `cache`.
fn open(model: &str, cache: &str) -> Result<OpenvinoBackend, backend_api::Error> {
    let mut config = OpenvinoConfig::new(model);
    config.library_dirs = classify_tests::library_dirs();
    for device in devices(None, &config.library_dirs, None)?.available {
        println!("{}: {} ({})", device.name, device.full_name, device.precisions.join(", "));
    }
    config.options.device = "hetero:cpu".into();
    config.properties = vec!["CPU:NUM_STREAMS=1".parse()?];
    config.cache = Some(cache.into());
    OpenvinoBackend::open(&config)
}
