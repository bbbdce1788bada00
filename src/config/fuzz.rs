//! Fuzzing of configuration files: each is read, or refused with a line number.

use std::path::Path;

use super::{Config, TEMPLATE};
use crate::fuzz::fuzz;

const WORDS: &str = "[ ] [[ { } = \" ' ''' \"\"\" , . # \n \\u0000 \\uD800 1 1e9 nan true [endpoints.b] endpoints \
    default_endpoint url secrets env file retry interval '60s' '-1s' success '5xx' https://u:p@h:99999/?t=1 http://[::1]/ \
    proxy events 'account.*' [portal] é \0";

#[test]
fn fuzzed_configurations() {
    let whole: String = TEMPLATE
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let seeds: [&[u8]; 3] = [
        TEMPLATE.as_bytes(),
        whole.as_bytes(),
        b"default_endpoint = 'a'\n[endpoints.a]\nurl = 'https://h/?x=1'\nsecrets = { t = { env = 'T' }, u = 'v' }\n\
          headers = { Authorization = '@env:A' }\nretry = { retries = 1, interval = '1m30s' }\nsuccess = '200-207'\n\
          events = ['account.*']\n[portal]\nurl = 'https://p/'\ntoken = { file = 't' }\n",
    ];
    let path = Path::new("/etc/hookfire/config.toml");
    let words: Vec<&str> = WORDS.split(' ').collect();
    fuzz(&seeds, &words, |input| {
        match Config::parse(path, &String::from_utf8_lossy(input)) {
            Ok(config) => {
                for endpoint in config.endpoints.values() {
                    assert!(!endpoint.target.to_string().is_empty());
                }
                let default = config.default_endpoint.as_ref();
                assert!(
                    default.is_none_or(|name| config.endpoints.contains_key(name)),
                    "the default is one of them"
                );
            }
            Err(error) => {
                let words = error.to_string();
                assert!(
                    words.starts_with("/etc/hookfire/config.toml:"),
                    "no place in: {words}"
                );
            }
        }
    });
}
