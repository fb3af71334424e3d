#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| umbra_fuzz::keys::run(bytes));
