//! Published examples of each scheme, and one test per fault.

use std::time::Duration;

use super::*;

const RECEIVED: i64 = 1_700_000_000;
const TOLERANCE: Duration = Duration::from_secs(300);

/// A request that was signed correctly, to be changed by a test.
struct Signed {
    scheme: &'static Scheme,
    secret: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    decompressed: Option<Vec<u8>>,
    received_at: i64,
}

fn scheme(name: &str) -> &'static Scheme {
    name.parse().unwrap()
}

fn signer(scheme: &Scheme, secrets: &[&str]) -> Signer {
    let keys = secrets
        .iter()
        .map(|text| Key::new(scheme, &Secret::new(*text)));
    Signer::new(scheme.clone(), keys.collect::<Result<_, _>>().unwrap())
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    ring::hmac::sign(&key, &parts.concat()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As GitHub does it, the simplest scheme.
fn github(secret: &str, signed: &[u8], sent: &[u8]) -> Signed {
    let signature = hex(&hmac(secret.as_bytes(), &[signed]));
    let header = ("X-Hub-Signature-256".into(), format!("sha256={signature}"));
    Signed {
        scheme: scheme("github"),
        secret: secret.to_owned(),
        headers: vec![header],
        body: sent.to_vec(),
        decompressed: None,
        received_at: RECEIVED,
    }
}

/// As Standard Webhooks describes it, with a key that the secret may decode to.
fn standard(secret: &str, key: &[u8]) -> Signed {
    let body = b"{\"a\":1}";
    let timestamp = RECEIVED.to_string();
    let tag = hmac(key, &[b"msg_1.", timestamp.as_bytes(), b".", body]);
    Signed {
        scheme: scheme("standard"),
        secret: secret.to_owned(),
        headers: vec![
            ("webhook-id".into(), "msg_1".into()),
            ("webhook-timestamp".into(), timestamp),
            (
                "webhook-signature".into(),
                format!("v1,{}", STANDARD.encode(tag)),
            ),
        ],
        body: body.to_vec(),
        decompressed: None,
        received_at: RECEIVED,
    }
}

fn stripe(timestamp: i64, body: &[u8]) -> Signed {
    let timestamp = timestamp.to_string();
    let signature = hex(&hmac(b"whsec_test", &[timestamp.as_bytes(), b".", body]));
    let header = format!("t={timestamp},v1={signature},v0=ignored");
    Signed {
        scheme: scheme("stripe"),
        secret: "whsec_test".to_owned(),
        headers: vec![("stripe-signature".into(), header)],
        body: body.to_vec(),
        decompressed: None,
        received_at: RECEIVED,
    }
}

impl Signed {
    fn verify_with(&self, secrets: &[&str]) -> Result<(), InvalidSignature> {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let verifier = Verifier::new(self.scheme.clone(), &secrets, TOLERANCE).unwrap();
        let headers = self.headers.iter();
        let headers: Vec<(&str, &[u8])> = headers
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let request = SignedRequest {
            headers: &headers,
            body: &self.body,
            decompressed: self.decompressed.as_deref(),
            received_at: UnixMs(self.received_at * 1000),
        };
        let quick = verifier.check(&request);
        let explained = verifier.explain(&request);
        assert_eq!(quick.is_ok(), explained.is_ok());
        explained
    }

    fn verify(&self) -> Result<(), InvalidSignature> {
        self.verify_with(&[&self.secret])
    }

    fn fault(&self) -> (InvalidKind, String) {
        let fault = self.verify().unwrap_err();
        (fault.kind, fault.detail)
    }

    fn with_header(mut self, name: &str, value: &str) -> Signed {
        self.headers.retain(|(given, _)| given != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

#[test]
fn published_examples_are_valid_and_made_again() {
    let slack_body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
        &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
        &command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    type Example<'a> = (&'a str, &'a str, &'a str, i64, &'a [(&'a str, &'a str)]);
    let examples: [Example<'_>; 5] = [
        (
            "github",
            "It's a Secret to Everybody",
            "Hello, World!",
            RECEIVED,
            &[(
                "X-Hub-Signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            )],
        ),
        (
            "standard",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "{\"test\": 2432232314}",
            1_614_265_330,
            &[
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                (
                    "webhook-signature",
                    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                ),
            ],
        ),
        (
            "slack",
            "8f742231b10e8888abcd99yyyzzz85a5",
            slack_body,
            1_531_420_618,
            &[
                (
                    "X-Slack-Signature",
                    "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
                ),
                ("X-Slack-Request-Timestamp", "1531420618"),
            ],
        ),
        // Stripe and Shopify publish code only: made with Python's `hmac`.
        (
            "stripe",
            "whsec_test",
            "{\"type\":\"invoice.paid\"}",
            RECEIVED,
            &[(
                "Stripe-Signature",
                "t=1700000000,v1=d085648b633f667bc2bbe0ae61b315d03eb679fe556605862de839d5e1982458",
            )],
        ),
        (
            "shopify",
            "hush",
            "{\"id\":450789469,\"total_price\":\"409.94\"}",
            RECEIVED,
            &[(
                "X-Shopify-Hmac-Sha256",
                "eYVgkU3BMRWp+8hwU0qRHcqcmZK5Q5jWLx/ErEBlFjM=",
            )],
        ),
    ];
    for (name, secret, body, received_at, headers) in examples {
        let signed = signer(scheme(name), &[secret]).sign(
            b"msg_p5jXN8AQM9LWM0D4loKWxJek",
            UnixMs(received_at * 1000 + 999),
            body.as_bytes(),
        );
        for (name, value) in &signed.headers {
            assert!(headers.contains(&(name, value)), "{name}: {value}");
        }
        let headers = headers.iter();
        let headers: Vec<(String, String)> = headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut example = Signed {
            scheme: scheme(name),
            secret: secret.to_owned(),
            headers,
            body: body.as_bytes().to_vec(),
            decompressed: None,
            received_at,
        };
        assert_eq!(example.verify(), Ok(()), "{name}");
        example.body.push(b'x');
        assert_eq!(example.fault().0, InvalidKind::Mismatch, "{name}");
    }
}

#[test]
fn scheme_is_found_by_its_header() {
    let found = |header: &str| Scheme::detect(&[("host", b"x"), (header, b"")]).map(Scheme::name);
    assert_eq!(found("WEBHOOK-SIGNATURE"), Some("standard"));
    assert_eq!(found("x-hub-signature-256"), Some("github"));
    assert_eq!(found("stripe-signature"), Some("stripe"));
    assert_eq!(found("x-slack-signature"), Some("slack"));
    assert_eq!(found("x-shopify-hmac-sha256"), Some("shopify"));
    assert_eq!(found("x-signature"), None);
}

#[test]
fn unknown_scheme_suggests_a_known_one() {
    let error = "githb".parse::<&Scheme>().unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown signature scheme `githb` (did you mean `github`?); known: standard, github, stripe, slack, shopify"
    );
}

#[test]
fn any_of_several_secrets_or_signatures_counts() {
    let request = stripe(RECEIVED, b"{}");
    assert_eq!(request.verify_with(&["old", "whsec_test"]), Ok(()));
    let mut rotated = standard("whsec_a2V5", b"key");
    let own = rotated.headers[2].1.clone();
    rotated.headers[2].1 = format!("v1,{} v1a,other {own}", STANDARD.encode([7; 32]));
    assert_eq!(rotated.verify(), Ok(()));
}

#[test]
fn secret_after_whsec_must_be_base64() {
    for text in ["whsec_", "whsec_not base64", "whsec_a2V"] {
        let secret = Secret::new(text);
        assert_eq!(Key::new(scheme("standard"), &secret), Err(MalformedSecret));
        // Stripe's secrets look the same, but are used as they are.
        assert!(Key::new(scheme("stripe"), &secret).is_ok());
    }
}

#[test]
fn header_faults() {
    let request = || github("s", b"body", b"body");
    assert_eq!(request().verify(), Ok(()));
    let mut missing = request();
    missing.headers.clear();
    assert_eq!(
        missing.fault(),
        (
            InvalidKind::MissingHeader,
            "the request has no header `X-Hub-Signature-256`".to_owned()
        )
    );
    let other = Signed {
        scheme: scheme("shopify"),
        ..request()
    };
    assert_eq!(other.fault().0, InvalidKind::OtherScheme);
    let mut repeated = request();
    repeated.headers.push(repeated.headers[0].clone());
    assert_eq!(repeated.fault().0, InvalidKind::RepeatedHeader);
    let truncated = request().headers[0].1[..40].to_owned();
    for value in ["", "sha256=", "sha1=00", "sha256=zz", &truncated] {
        let malformed = request().with_header("X-Hub-Signature-256", value);
        assert_eq!(
            malformed.fault().0,
            InvalidKind::MalformedSignature,
            "{value}"
        );
    }
}

#[test]
fn timestamp_faults() {
    assert_eq!(stripe(RECEIVED - 300, b"{}").verify(), Ok(()));
    assert_eq!(stripe(RECEIVED + 300, b"{}").verify(), Ok(()));
    let (kind, detail) = stripe(RECEIVED - 301, b"{}").fault();
    assert_eq!(kind, InvalidKind::TimestampTooOld);
    assert!(detail.contains("301 seconds before"), "{detail}");
    let (kind, detail) = stripe(RECEIVED + 301, b"{}").fault();
    assert_eq!(kind, InvalidKind::TimestampInFuture);
    assert!(detail.contains("301 seconds after"), "{detail}");
    for value in ["", "soon", "-5", "1.5", "99999999999999999999"] {
        let request = standard("whsec_a2V5", b"key").with_header("webhook-timestamp", value);
        assert_eq!(
            request.fault().0,
            InvalidKind::MalformedTimestamp,
            "{value}"
        );
    }
    // Only a correct signature says something about time.
    let mut forged = stripe(RECEIVED - 301, b"{}");
    forged.secret = "other".to_owned();
    assert_eq!(forged.fault().0, InvalidKind::Mismatch);
}

#[test]
fn other_encoding_is_named() {
    let tag = hmac(b"s", &[b"body"]);
    let value = format!("sha256={}", STANDARD.encode(tag));
    let request = github("s", b"body", b"body").with_header("X-Hub-Signature-256", &value);
    assert_eq!(
        request.fault(),
        (
            InvalidKind::OtherEncoding,
            "the signature is written in base64, not in hexadecimal".to_owned()
        )
    );
}

#[test]
fn signature_without_its_timestamp_is_named() {
    let signature = hex(&hmac(b"whsec_test", &[b"{}"]));
    let value = format!("t={RECEIVED},v1={signature}");
    let request = stripe(RECEIVED, b"{}").with_header("stripe-signature", &value);
    assert_eq!(request.fault().0, InvalidKind::NoTimestamp);
}

#[test]
fn other_readings_of_the_secret_are_named() {
    for (used, signed_with, detail) in [
        (" s", "s", "the secret has white space around it"),
        ("s\n", "s", "the secret has white space around it"),
        ("s", "s\n", "the sender's secret ends with a newline"),
        ("\"s\"", "s", "the secret has quotes around it"),
        ("'s'", "s", "the secret has quotes around it"),
        ("s", "\"s\"", "the sender's secret has quotes around it"),
        (
            "whsec_s",
            "s",
            "the sender uses the secret without `whsec_`",
        ),
        ("s", "whsec_s", "the sender's secret starts with `whsec_`"),
        (
            "whsec_a2V5",
            "key",
            "the sender decodes the secret from base64, without `whsec_`",
        ),
        (
            "a2V5",
            "key",
            "the sender decodes the secret from base64; write it with `whsec_` before it",
        ),
    ] {
        let request = Signed {
            secret: used.to_owned(),
            ..github(signed_with, b"body", b"body")
        };
        assert_eq!(
            request.fault(),
            (InvalidKind::Secret, detail.to_owned()),
            "{used:?}"
        );
    }
    for (used, key, detail) in [
        (
            "whsec_a2V5",
            &b"a2V5"[..],
            "the sender does not decode the secret from base64",
        ),
        (
            "whsec_a2V5",
            b"whsec_a2V5",
            "the sender does not decode the secret from base64, and includes `whsec_`",
        ),
    ] {
        let request = standard(used, key);
        assert_eq!(request.fault(), (InvalidKind::Secret, detail.to_owned()));
    }
}

#[test]
fn changed_bodies_are_named() {
    for (signed, sent, kind, words) in [
        (
            &b"a"[..],
            &b"a\n"[..],
            InvalidKind::BodyFinalNewline,
            "without its final",
        ),
        (
            b"a",
            b"a\r\n",
            InvalidKind::BodyFinalNewline,
            "without its final",
        ),
        (
            b"a\n",
            b"a",
            InvalidKind::BodyFinalNewline,
            "a newline after it",
        ),
        (b"a\r\nb\r\n", b"a\nb\n", InvalidKind::BodyLineEnds, "CRLF"),
        (b"a\nb\n", b"a\r\nb\r\n", InvalidKind::BodyLineEnds, "LF"),
        (
            b"caf\xe9",
            b"caf\xc3\xa9",
            InvalidKind::BodyCharset,
            "ISO-8859-1; it arrived in UTF-8",
        ),
        (
            b"caf\xc3\xa9",
            b"caf\xe9",
            InvalidKind::BodyCharset,
            "UTF-8; it arrived in ISO-8859-1",
        ),
        (
            b"{}",
            b"\xEF\xBB\xBF{}",
            InvalidKind::BodyCharset,
            "without its byte order mark",
        ),
        (
            b"\xEF\xBB\xBF{}",
            b"{}",
            InvalidKind::BodyCharset,
            "with a byte order mark",
        ),
        (b"body", b"other", InvalidKind::Mismatch, "not of this body"),
    ] {
        let (found, detail) = github("s", signed, sent).fault();
        assert_eq!(found, kind, "{detail}");
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn compression_is_named() {
    let compressed = Signed {
        decompressed: Some(b"plain".to_vec()),
        ..github("s", b"plain", b"\x1f\x8bcompressed")
    };
    assert_eq!(compressed.fault().0, InvalidKind::BodyCompressed);
    let decompressed =
        github("s", b"\x1f\x8bcompressed", b"plain").with_header("content-encoding", "gzip");
    assert_eq!(decompressed.fault().0, InvalidKind::BodyDecompressed);
}

#[test]
fn rewritten_json_is_named() {
    let sent = "{\"url\": \"https://x/\", \"a\":{\"z\":1.50,\"b\":[1,[],{}]},\"n\":\"é\\n\"}";
    for (signed, words) in [
        (
            r#"{"url":"https://x/","a":{"z":1.50,"b":[1,[],{}]},"n":"é\n"}"#,
            "written without spaces",
        ),
        (
            r#"{"url": "https://x/", "a": {"z": 1.50, "b": [1, [], {}]}, "n": "\u00e9\n"}"#,
            "written with a space after each comma and colon, with other characters than ASCII written as `\\u`",
        ),
        (
            r#"{"url":"https:\/\/x\/","a":{"z":1.50,"b":[1,[],{}]},"n":"\u00e9\n"}"#,
            "written without spaces, with slashes written as `\\/`, with other characters than ASCII written as `\\u`",
        ),
        (
            r#"{"a":{"b":[1,[],{}],"z":1.50},"n":"é\n","url":"https://x/"}"#,
            "written without spaces, with sorted keys",
        ),
        (
            "{\n  \"url\": \"https://x/\",\n  \"a\": {\n    \"z\": 1.50,\n    \"b\": [\n      1,\n      [],\n      {}\n    ]\n  },\n  \"n\": \"é\\n\"\n}",
            "indented by 2 spaces",
        ),
    ] {
        let (kind, detail) = github("s", signed.as_bytes(), sent.as_bytes()).fault();
        assert_eq!(kind, InvalidKind::BodyReserialized, "{signed}");
        assert_eq!(
            detail,
            format!("the signature is correct for the same JSON {words}")
        );
    }
}

#[test]
fn keys_and_faults_show_no_secret() {
    let request = github("canary", b"a", b"b");
    let key = Key::new(request.scheme, &Secret::new("canary")).unwrap();
    let shown = format!("{key:?} {:?}", request.verify());
    assert!(!shown.contains("canary"), "{shown}");
    assert!(!shown.contains(&request.headers[0].1), "{shown}");
}

/// A scheme of the configuration, with everything that can differ.
fn custom() -> CustomScheme {
    CustomScheme {
        header: "X-Signature".to_owned(),
        algorithm: Algorithm::Sha512,
        encoding: Encoding::Base64,
        prefix: "v2=".to_owned(),
        payload: "{id}/{timestamp}/{body}".to_owned(),
        timestamp_header: Some("X-Time".to_owned()),
    }
}

/// What a scheme signs, to be verified.
fn signed_by(scheme: &Scheme, secrets: &[&str]) -> Vec<(String, Vec<u8>)> {
    let signed = signer(scheme, secrets).sign(b"id-1", UnixMs(RECEIVED * 1000), b"{}");
    let mut headers = signed.headers;
    headers.push((ID_HEADER.to_owned(), "id-1".to_owned()));
    let headers = headers.into_iter();
    headers
        .map(|(name, value)| (name, value.into_bytes()))
        .collect()
}

fn verify_signed(
    scheme: &Scheme,
    secret: &str,
    headers: &[(String, Vec<u8>)],
) -> Result<(), InvalidSignature> {
    let headers = headers.iter();
    let headers: Vec<(&str, &[u8])> = headers
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    let request = SignedRequest {
        headers: &headers,
        body: b"{}",
        decompressed: None,
        received_at: UnixMs(RECEIVED * 1000),
    };
    let verifier = Verifier::new(scheme.clone(), &[Secret::new(secret)], TOLERANCE).unwrap();
    verifier.explain(&request)
}

#[test]
fn custom_schemes_sign_and_verify() {
    for algorithm in Algorithm::ALL {
        for encoding in Encoding::ALL {
            let described = CustomScheme {
                algorithm,
                encoding,
                ..custom()
            };
            let scheme = Scheme::try_from(described).unwrap();
            let headers = signed_by(&scheme, &["s"]);
            assert_eq!(verify_signed(&scheme, "s", &headers), Ok(()));
            let fault = verify_signed(&scheme, "other", &headers).unwrap_err();
            assert_eq!(fault.kind, InvalidKind::Mismatch);
        }
    }
    let without_timestamp = CustomScheme {
        header: "X-Sign".to_owned(),
        ..CustomScheme::default()
    };
    let scheme = Scheme::try_from(without_timestamp).unwrap();
    assert_eq!(
        verify_signed(&scheme, "s", &signed_by(&scheme, &["s"])),
        Ok(())
    );
}

#[test]
fn other_hash_functions_match_the_published_examples() {
    // RFC 2202 and RFC 4231, test case 2.
    for (algorithm, expected) in [
        (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            Algorithm::Sha256,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            Algorithm::Sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let described = CustomScheme {
            header: "X-Sign".to_owned(),
            algorithm,
            ..CustomScheme::default()
        };
        let scheme = Scheme::try_from(described).unwrap();
        let body = b"what do ya want for nothing?";
        let signed = signer(&scheme, &["Jefe"]).sign(b"", UnixMs(0), body);
        assert_eq!(signed.headers, [("X-Sign".to_owned(), expected.to_owned())]);
    }
}

#[test]
fn unusable_custom_schemes_are_explained() {
    let no_timestamp_header = CustomScheme {
        timestamp_header: None,
        ..custom()
    };
    let unsigned = CustomScheme {
        payload: "{body}".to_owned(),
        ..custom()
    };
    let same = CustomScheme {
        timestamp_header: Some("x-signature".to_owned()),
        ..custom()
    };
    let prefix = CustomScheme {
        prefix: "a\r\nb".to_owned(),
        ..custom()
    };
    let header = CustomScheme {
        header: String::new(),
        ..custom()
    };
    for (described, words) in [
        (no_timestamp_header, "`timestamp_header` must name"),
        (unsigned, "nothing protects it"),
        (same, "are the same"),
        (prefix, "visible ASCII"),
        (header, "names no header"),
    ] {
        let error = Scheme::try_from(described).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn schemes_are_stored_by_name_or_description() {
    for name in Scheme::NAMES {
        let stored = serde_json::to_string(scheme(name)).unwrap();
        assert_eq!(stored, format!("\"{name}\""));
        let read: Scheme = serde_json::from_str(&stored).unwrap();
        assert_eq!(&read, scheme(name));
    }
    let own = Scheme::try_from(custom()).unwrap();
    let stored = serde_json::to_string(&own).unwrap();
    assert_eq!(serde_json::from_str::<Scheme>(&stored).unwrap(), own);
    for damaged in ["\"githb\"", "{}", "1", &stored.replace("{body}", "")] {
        assert!(
            serde_json::from_str::<Scheme>(damaged).is_err(),
            "{damaged}"
        );
    }
}

#[test]
fn every_secret_signs_where_the_header_has_room() {
    let count = |name: &str, start: &str| {
        let headers = signed_by(scheme(name), &["a", "b"]);
        for secret in ["a", "b"] {
            let valid = verify_signed(scheme(name), secret, &headers).is_ok();
            assert!(valid || secret == "b", "{name}");
        }
        let all = headers
            .iter()
            .map(|(_, value)| String::from_utf8_lossy(value));
        all.map(|value| value.matches(start).count()).sum::<usize>()
    };
    assert_eq!(count("standard", "v1,"), 2);
    assert_eq!(count("stripe", "v1="), 2);
    assert_eq!(count("github", "sha256="), 1);
    assert_eq!(count("slack", "v0="), 1);
}

#[test]
fn headers_are_shown_without_signatures() {
    let shown = |name: &str| {
        let headers = scheme(name).masked_headers("TIME").into_iter();
        let lines: Vec<String> = headers
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.join("\n")
    };
    assert_eq!(
        shown("standard"),
        "webhook-timestamp: TIME\nwebhook-signature: v1,***"
    );
    assert_eq!(shown("stripe"), "Stripe-Signature: t=TIME,v1=***");
    assert_eq!(shown("github"), "X-Hub-Signature-256: sha256=***");
    assert_eq!(shown("shopify"), "X-Shopify-Hmac-Sha256: ***");
}

#[test]
fn signatures_and_keys_are_masked_in_echoes() {
    let own = signer(scheme("standard"), &["whsec_Y2FuYXJ5LWtleS0x"]);
    let signed = own.sign(b"id-1", UnixMs(RECEIVED * 1000), b"{}");
    let value = &signed.headers[1].1;
    let text = value.strip_prefix("v1,").unwrap();
    let bytes = STANDARD.decode(text).unwrap();
    let mut redactor = crate::secret::Redactor::default();
    signed.mask_in(&mut redactor);
    own.mask_keys_in(&mut redactor);
    for echoed in [
        text.to_owned(),
        hex(&bytes).to_uppercase(),
        text.replace('+', "%2B").replace('/', "\\/"),
        STANDARD.encode(text),
        "canary-key-1".to_owned(),
        "Y2FuYXJ5LWtleS0x".to_owned(),
        hex(b"canary-key-1"),
    ] {
        let shown = redactor.redact(&format!("<{echoed}>"));
        assert!(
            shown.starts_with("<***") && shown.len() < 12,
            "{echoed}: {shown}"
        );
    }
}
