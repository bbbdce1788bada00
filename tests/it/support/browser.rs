//! Headless Chromium, driven through chromedriver by WebDriver's JSON over plain HTTP.
//!
//! Every wait has a limit and then shows the page. Warnings and errors on the browser's console fail the test. No
//! process and no profile outlives the [`Browser`].

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Keys as WebDriver's private characters.
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const UP: &str = "\u{e013}";
pub const DOWN: &str = "\u{e015}";

/// A browser with one window. Checks its console when dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    lenient: bool,
    _profile: TempDir,
}

impl Browser {
    /// Starts a window of 1280 by 800 points; without Chromium, reports the test as skipped.
    pub fn start() -> Option<Browser> {
        if !super::needs("chromedriver", &["--version"])
            || !super::needs("chromium", &["--version"])
        {
            return None;
        }
        let profile = tempfile::Builder::new()
            .prefix("hookfire-browser-")
            .tempdir()
            .expect("a temporary folder");
        let (driver, port) = driver(profile.path());
        let mut browser = Browser {
            driver,
            port,
            session: String::new(),
            lenient: false,
            _profile: profile,
        };
        // In a container, root has neither the sandbox nor shared memory; the pages are our own.
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--lang=en-US",
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.call("POST", "/session", &capabilities);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        browser.size(1280, 800);
        Some(browser)
    }

    /// Ignores console messages: something is refused to the page on purpose.
    pub fn lenient(mut self) -> Browser {
        self.lenient = true;
        self
    }

    /// Sets the size of the page in points; a narrow one is a phone's.
    pub fn size(&self, width: u32, height: u32) {
        let mobile = width < 600;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// A DevTools command.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.of_session(
            "POST",
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    pub fn open(&self, url: &str) {
        self.of_session("POST", "url", &json!({ "url": url }));
    }

    /// Runs a function body in the page and returns its result.
    #[track_caller]
    pub fn script(&self, script: &str) -> Value {
        self.of_session(
            "POST",
            "execute/sync",
            &json!({ "script": script, "args": [] }),
        )
    }

    /// Waits until an expression is true in the page, and returns its value.
    #[track_caller]
    pub fn wait_for(&self, expression: &str) -> Value {
        let limit = TEST_TIMEOUT.as_millis();
        let script = format!(
            "const done = arguments[0], end = Date.now() + {limit};
             const look = async () => {{
               let found;
               try {{ found = await ({expression}); }} catch (error) {{ found = null; }}
               if (found || Date.now() > end) done(found || null); else setTimeout(look, 20);
             }};
             look();"
        );
        let begun = Instant::now();
        let path = format!("/session/{}/execute/async", self.session);
        let found = loop {
            let asked = exchange(
                self.port,
                "POST",
                &path,
                &json!({ "script": script, "args": [] }),
            );
            let (status, response) = asked.expect("chromedriver responds");
            if status == 200 {
                break response["value"].clone();
            }
            // Leaving a page cancels its scripts; ask the next page again.
            assert!(begun.elapsed() < TEST_TIMEOUT, "{expression}: {response}");
        };
        if found.is_null() {
            panic!(
                "`{expression}` never came true; the page says:\n{}",
                self.text("body")
            );
        }
        found
    }

    /// Waits until the text of an element contains this text.
    #[track_caller]
    pub fn wait_for_text(&self, selector: &str, text: &str) {
        self.wait_for(&format!(
            "document.querySelector({})?.innerText.includes({})",
            json!(selector),
            json!(text)
        ));
    }

    /// The visible text of an element.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let found = self.script(&format!(
            "return document.querySelector({}).innerText",
            json!(selector)
        ));
        found.as_str().expect("text").to_owned()
    }

    /// Waits until an element is visible and not covered, and clicks it.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let limit = Instant::now() + TEST_TIMEOUT;
        loop {
            self.wait_for(&format!("document.querySelector({})", json!(selector)));
            let element = self.find(selector);
            let path = format!("/session/{}/element/{element}/click", self.session);
            let (status, response) =
                exchange(self.port, "POST", &path, &json!({})).expect("chromedriver responds");
            if status == 200 {
                return;
            }
            // The element was replaced or moved between the check and the click.
            assert!(
                Instant::now() < limit,
                "{selector} cannot be clicked: {response}"
            );
        }
    }

    /// Types into the focused element, key by key.
    pub fn keys(&self, keys: &str) {
        let presses: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|what| json!({ "type": what, "value": key.to_string() }))
            })
            .collect();
        let actions =
            json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": presses }] });
        self.of_session("POST", "actions", &actions);
    }

    /// A screenshot, as PNG in base64.
    pub fn screenshot(&self) -> String {
        self.of_session("GET", "screenshot", &Value::Null)
            .as_str()
            .expect("a picture")
            .to_owned()
    }

    /// Console warnings and errors since the last call.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.of_session("POST", "se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().expect("a log").iter();
        let serious =
            entries.filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")));
        serious
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    #[track_caller]
    fn find(&self, selector: &str) -> String {
        let found = self.of_session(
            "POST",
            "element",
            &json!({ "using": "css selector", "value": selector }),
        );
        let id = found
            .as_object()
            .and_then(|object| object.values().next())
            .and_then(Value::as_str);
        id.expect("an element").to_owned()
    }

    #[track_caller]
    fn of_session(&self, method: &str, what: &str, body: &Value) -> Value {
        self.call(method, &format!("/session/{}/{what}", self.session), body)
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, response) =
            exchange(self.port, method, path, body).expect("chromedriver responds");
        assert_eq!(status, 200, "{method} {path} {body}: {response}");
        response["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let judged = !self.lenient && !self.session.is_empty() && !std::thread::panicking();
        let complaints = if judged {
            self.complaints()
        } else {
            Vec::new()
        };
        // The browser ends only with its session.
        let _ = exchange(
            self.port,
            "DELETE",
            &format!("/session/{}", self.session),
            &Value::Null,
        );
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        assert!(
            complaints.is_empty(),
            "the console complains: {complaints:#?}"
        );
    }
}

/// Starts chromedriver and returns its port. It needs the same port number for IPv4 and IPv6, and exits if only one is
/// free; then start it again.
fn driver(home: &Path) -> (Child, u16) {
    let mut words = String::new();
    for _ in 0..20 {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .envs(["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name, home)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        if let Some(port) = port_of(&mut driver, &mut words) {
            return (driver, port);
        }
        let status = driver.wait().expect("chromedriver has ended");
        words.push_str(&format!("[{status}]\n"));
    }
    panic!("chromedriver never listened:\n{words}");
}

/// Reads the port from the output of the driver, `None` if it exits first. Appends the output to `words`.
fn port_of(driver: &mut Child, words: &mut String) -> Option<u16> {
    let mut lines = BufReader::new(driver.stdout.take().expect("stdout is piped"));
    loop {
        let start = words.len();
        if lines.read_line(words).expect("text") == 0 {
            return None;
        }
        if let Some(port) = words[start..]
            .trim_end()
            .strip_suffix('.')
            .and_then(|line| line.rsplit_once("on port "))
        {
            // The rest of the output is short and not needed.
            return Some(port.1.parse().expect("a port"));
        }
    }
}

/// One request and its response on a new connection.
fn exchange(port: u16, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TEST_TIMEOUT * 3))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    // chromedriver does not close the connection even if asked to.
    let mut response = BufReader::new(stream);
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        response.read_line(&mut line)?;
        let (name, value) = line.trim_end().split_once([':', ' ']).unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "http/1.1" => {
                status = value
                    .split(' ')
                    .next()
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(0)
            }
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "" => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    response.read_exact(&mut body)?;
    Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}
