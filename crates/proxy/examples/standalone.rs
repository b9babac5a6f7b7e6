//! The data plane alone, for benchmarks and experiments:
//! `standalone SPEC.json [THREADS]` serves a spec until SIGTERM.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match (arguments.next(), arguments.next().map_or(Ok(1), |n| n.parse())) {
        (Some(file), Ok(threads)) => serve(&file, threads),
        _ => Err("usage: standalone SPEC.json [THREADS]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a command's last words")]
            {
                eprintln!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(file: &str, threads: usize) -> Result<(), Box<dyn std::error::Error>> {
    let spec = serde_json::from_slice(&std::fs::read(file)?)?;
    Ok(octavia_proxy::run_standalone(&spec, threads)?)
}
