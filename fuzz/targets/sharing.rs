#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    octavia_wire::fuzzing::sharing(data);
});
