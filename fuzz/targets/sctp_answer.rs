#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    octavia_proxy::fuzzing::sctp_answer(data);
});
