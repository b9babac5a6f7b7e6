#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    octavia_tls::fuzzing::ocsp_answer(data);
});
