//! The `hookfire` binary: everything is in the library.

fn main() -> std::process::ExitCode {
    hookfire::main()
}
