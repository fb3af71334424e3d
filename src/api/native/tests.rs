//! The API as a client meets it: over a real socket, before a real store.

use serde_json::{Value, json};

use super::support::Served;
use crate::call::reach::Block;
use crate::telemetry::health::State;

const X: &str = "17000000001";
const A: &str = "+8613800000001";
const B: &str = "+8613900000002";

fn with_x() -> Served {
    let served = Served::start();
    assert_eq!(served.post("/v1/numbers", &json!({"x": X})).0, 201);
    served
}

fn pair(a: &str, b: &str) -> Value {
    json!({"mode": "axb", "x": X, "a": a, "b": b})
}

fn id(view: &Value) -> String {
    view["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_binding_is_made_shown_listed_changed_and_ended() {
    let served = with_x();
    let mut request = pair("13800000001", "139 0000 0002");
    request["ttl_s"] = json!(3600);
    request["direction"] = json!("a-to-b");
    request["order_id"] = json!("order 7");
    let (status, bound) = served.post("/v1/bindings", &request);
    assert_eq!(status, 201, "{bound}");
    assert_eq!(
        (&bound["x"], &bound["a"], &bound["b"]),
        (&json!(X), &json!(A), &json!(B))
    );
    assert_eq!(
        (&bound["state"], &bound["pool"]),
        (&json!("live"), &json!("default"))
    );
    let path = format!("/v1/bindings/{}", id(&bound));
    assert_eq!(served.get(&path), (200, bound.clone()));

    let (_, page) = served.get("/v1/bindings?a=%2B8613800000001");
    assert_eq!(page, json!({"bindings": [bound], "cursor": null}));

    let (status, updated) = served.ask(
        "PATCH",
        &path,
        &json!({"b": "13900000003", "expires_at": null, "order_id": null}),
    );
    assert_eq!(status, 200, "{updated}");
    assert_eq!(
        (&updated["b"], &updated["version"]),
        (&json!("+8613900000003"), &json!(2))
    );
    assert_eq!(
        (&updated["expires_at"], &updated["order_id"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(updated["direction"], json!("a-to-b"));

    let (status, ended) = served.ask("DELETE", &path, &Value::Null);
    assert_eq!((status, &ended["unbound"][0]), (200, &updated["id"]));
    assert_eq!(served.get("/v1/bindings").1["bindings"], json!([]));
    let (_, past) = served.get("/v1/bindings?state=ended");
    // The pair that the update replaced has an id of its own, of the same millisecond perhaps: either may come first.
    let past = past["bindings"].as_array().unwrap();
    let states: Vec<_> = past
        .iter()
        .map(|one| (one["id"] == updated["id"], &one["state"]))
        .collect();
    assert_eq!(past.len(), 2, "{states:?}");
    assert!(states.contains(&(true, &json!("unbound"))), "{states:?}");
    assert!(states.contains(&(false, &json!("replaced"))), "{states:?}");
    let (status, fault) = served.ask("PATCH", &path, &json!({"b": "13900000004"}));
    assert_eq!((status, &fault["code"]), (409, &json!("binding_ended")));
}

#[test]
fn a_taken_key_is_a_conflict_that_names_field_and_binding_and_no_whole_number() {
    let served = with_x();
    let (_, first) = served.post("/v1/bindings", &pair(A, B));
    let (status, fault) = served.post("/v1/bindings", &pair("13800000009", A));
    assert_eq!(status, 409, "{fault}");
    assert_eq!(
        (&fault["code"], &fault["field"], &fault["binding"]),
        (&json!("key_taken"), &json!("b"), &first["id"])
    );
    let message = fault["message"].as_str().unwrap();
    assert!(
        message.contains("138****0001") && !message.contains("13800000001"),
        "{message}"
    );

    let mut again = pair(A, B);
    again["on_conflict"] = json!("return");
    let (status, same) = served.post("/v1/bindings", &again);
    assert_eq!((status, &same["id"]), (200, &first["id"]));
}

#[test]
fn every_wrong_field_is_refused_by_name() {
    let served = with_x();
    for (field, value, code) in [
        ("colour", json!("red"), "unknown_field"),
        ("a", json!(13_800_000_001_u64), "bad_field"),
        ("a", json!("12345678901234567890"), "bad_number"),
        ("mode", json!("axz"), "bad_field"),
        ("mode", Value::Null, "missing_field"),
        ("direction", json!("both ways"), "bad_field"),
        ("ttl_s", json!(-1), "bad_field"),
        ("expires_at", json!("tomorrow"), "bad_field"),
        ("record", json!("please"), "bad_field"),
        ("on_conflict", json!(1), "bad_field"),
        ("pool", json!("default"), "bad_field"),
        ("max_duration_s", json!(10), "out_of_bounds"),
        ("ring_timeout_s", json!(1), "out_of_bounds"),
        ("order_id", json!("x".repeat(65)), "out_of_bounds"),
    ] {
        let mut request = pair(A, B);
        request[field] = value;
        let (status, fault) = served.post("/v1/bindings", &request);
        assert_eq!(status, 400, "{field}: {fault}");
        assert_eq!(
            (&fault["field"], &fault["code"]),
            (&json!(field), &json!(code)),
            "{fault}"
        );
    }
    assert_eq!(served.get("/v1/bindings").1["bindings"], json!([]));
}

#[test]
fn what_the_law_never_allows_is_unprocessable() {
    let served = with_x();
    let (status, fault) = served.post("/v1/bindings", &pair(A, A));
    assert_eq!((status, &fault["code"]), (422, &json!("same_number")));
    let (status, fault) = served.post("/v1/bindings", &pair(A, X));
    assert_eq!(
        (status, &fault["code"], &fault["field"]),
        (422, &json!("own_number"), &json!("b"))
    );
    let mut soon = pair(A, B);
    soon["ttl_s"] = json!(5);
    let (status, fault) = served.post("/v1/bindings", &soon);
    assert_eq!((status, &fault["code"]), (422, &json!("expiry_too_soon")));
}

#[test]
fn paths_methods_and_ids_that_are_not_there_are_answered_in_the_same_form() {
    let served = Served::start();
    for (method, path, status, code) in [
        ("GET", "/v2/bindings", 404, "not_found"),
        ("PUT", "/v1/bindings", 405, "method_not_allowed"),
        ("GET", "/v1/bindings/nonsense", 400, "bad_id"),
        (
            "GET",
            "/v1/bindings/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            404,
            "unknown_binding",
        ),
        (
            "DELETE",
            "/v1/bindings/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            404,
            "unknown_binding",
        ),
        ("DELETE", "/v1/calls/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "not_found"),
        (
            "GET",
            "/v1/calls/01ARZ3NDEKTSV4RRFFQ69G5FAV/trace",
            404,
            "not_found",
        ),
        (
            "POST",
            "/v1/calls/01ARZ3NDEKTSV4RRFFQ69G5FAV/recording/pause",
            404,
            "not_found",
        ),
        ("GET", "/v1/cdrs/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "not_found"),
        ("GET", "/v1/pools/none", 404, "unknown_pool"),
        ("GET", "/v1/numbers/17000000001", 404, "unknown_number"),
        ("POST", "/v1/numbers/17000000001/lock", 404, "unknown_number"),
        ("POST", "/v1/numbers/17000000001/paint", 404, "not_found"),
        ("GET", "/v1/bindings?colour=red", 400, "unknown_field"),
        ("GET", "/v1/bindings?limit=1001", 400, "bad_field"),
        ("GET", "/v1/bindings?cursor=here", 400, "bad_cursor"),
        ("GET", "/v1/cdrs?cursor=here", 400, "bad_cursor"),
        ("DELETE", "/v1/bindings", 400, "missing_field"),
    ] {
        let (answered, fault) = served.ask(method, path, &Value::Null);
        assert_eq!(
            (answered, &fault["code"]),
            (status, &json!(code)),
            "{method} {path}: {fault}"
        );
        assert!(fault["message"].is_string());
    }
}

#[test]
fn a_body_that_is_too_large_or_no_json_is_refused() {
    let served = Served::start();
    let (status, fault) = served.raw("POST", "/v1/bindings", &[], &"x".repeat(1024 * 1024 + 1));
    assert_eq!((status, &fault["code"]), (413, &json!("body_too_large")));
    let (status, fault) = served.raw("POST", "/v1/bindings", &[], "{\"a\": 13800000001");
    assert_eq!((status, &fault["code"]), (400, &json!("bad_json")));
}

#[test]
fn a_request_sent_twice_with_one_key_binds_once() {
    let served = with_x();
    let body = pair(A, B).to_string();
    let key = [("idempotency-key", "k1")];
    let first = served.raw("POST", "/v1/bindings", &key, &body);
    assert_eq!(first.0, 201);
    assert_eq!(served.raw("POST", "/v1/bindings", &key, &body), first);
    let (status, fault) = served.raw("POST", "/v1/bindings", &key, &pair(A, "13900000005").to_string());
    assert_eq!((status, &fault["code"]), (422, &json!("idempotency_key_reused")));
    assert_eq!(served.raw("POST", "/v1/bindings", &[], &body).0, 409);
}

#[test]
fn a_batch_gives_each_binding_its_own_result_in_order() {
    let served = with_x();
    let batch = json!({"bindings": [
        pair(A, B), pair("13800000003", A), {"mode": "axb"}, 5, pair("13800000005", "13900000006"),
    ]});
    let (status, answer) = served.post("/v1/bindings:batch", &batch);
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|r| r["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 409, 400, 400, 201]);
    assert_eq!(results[1]["error"]["binding"], results[0]["binding"]["id"]);
    let many = json!({"bindings": vec![json!({}); 1_001]});
    assert_eq!(
        served.post("/v1/bindings:batch", &many).1["field"],
        json!("bindings")
    );
}

#[test]
fn a_dry_run_checks_everything_and_binds_nothing() {
    let served = with_x();
    let mut request = pair(A, B);
    request["dry_run"] = json!(true);
    let (status, view) = served.post("/v1/bindings", &request);
    assert_eq!(
        (status, &view["dry_run"], &view["id"]),
        (200, &json!(true), &Value::Null)
    );
    assert_eq!(served.get("/v1/bindings?state=all").1["bindings"], json!([]));
    request["b"] = json!(A);
    assert_eq!(served.post("/v1/bindings", &request).0, 422);
}

#[test]
fn a_pool_chooses_x_and_its_key_serves_as_well_as_its_name() {
    let served = Served::start();
    let (status, pool) = served.post("/v1/pools", &json!({"name": "crowd"}));
    assert_eq!(status, 201, "{pool}");
    let key = pool["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("FC"), "{key}");
    assert_eq!(
        served.get("/v1/pools/crowd").1,
        served.get(&format!("/v1/pools/{key}")).1
    );
    assert_eq!(
        served.post("/v1/pools", &json!({"name": "crowd"})).1["code"],
        json!("name_taken")
    );
    served.post("/v1/numbers", &json!({"x": X, "pool": key}));
    let request = json!({"mode": "axb", "pool": key, "a": A, "b": B});
    let (status, bound) = served.post("/v1/bindings", &request);
    assert_eq!((status, &bound["x"]), (201, &json!(X)), "{bound}");
    let (status, fault) = served.post("/v1/bindings", &request);
    assert_eq!((status, &fault["field"]), (409, &json!("pool")), "{fault}");
    let (_, pools) = served.get("/v1/pools?limit=1");
    assert_eq!(pools["pools"].as_array().unwrap().len(), 1);
    let next = pools["cursor"].as_str().unwrap();
    assert_eq!(
        served.get(&format!("/v1/pools?cursor={next}")).1["pools"][0]["name"],
        json!("crowd")
    );
}

#[test]
fn a_locked_number_takes_no_binding_and_unlocking_thaws_nothing() {
    let served = with_x();
    let act = |what: &str, body: &Value| served.post(&format!("/v1/numbers/{X}/{what}"), body);
    assert_eq!(act("lock", &Value::Null).1["state"], json!("locked"));
    assert_eq!(
        served.post("/v1/bindings", &pair(A, B)).1["code"],
        json!("number_locked")
    );
    assert_eq!(act("unfreeze", &Value::Null).1["code"], json!("number_state"));
    assert_eq!(act("unlock", &Value::Null).1["state"], json!("idle"));
    let (_, frozen) = act("freeze", &json!({"cause": "complaint"}));
    assert_eq!(
        (&frozen["state"], &frozen["cause"]),
        (&json!("frozen"), &json!("complaint"))
    );
    assert_eq!(act("unlock", &Value::Null).0, 409);
    assert_eq!(act("lock", &Value::Null).0, 409);
    assert_eq!(act("unfreeze", &Value::Null).1["state"], json!("idle"));
    // A freeze, and another for a worse cause, are no way out of a lock.
    act("lock", &Value::Null);
    act("freeze", &Value::Null);
    act("freeze", &json!({"cause": "regulator"}));
    assert_eq!(act("unfreeze", &Value::Null).1["state"], json!("locked"));
    assert_eq!(act("unlock", &Value::Null).1["state"], json!("idle"));
    let (_, bound) = served.post("/v1/bindings", &pair(A, B));
    let (status, fault) = act("release", &Value::Null);
    assert_eq!(
        (status, &fault["code"], &fault["binding"]),
        (409, &json!("number_bound"), &bound["id"])
    );
    assert_eq!(
        served
            .ask("DELETE", &format!("/v1/bindings?x={X}"), &Value::Null)
            .1["unbound"][0],
        bound["id"]
    );
    assert_eq!(act("release", &Value::Null).1["state"], json!("released"));
    assert_eq!(served.get("/v1/numbers").1["numbers"], json!([]));
    assert_eq!(
        served.get("/v1/numbers?state=released").1["numbers"][0]["x"],
        json!(X)
    );
}

#[test]
fn a_number_on_a_trunk_that_the_conf_lacks_is_refused() {
    let served = Served::start();
    let (status, fault) = served.post("/v1/numbers", &json!({"x": X, "trunks": ["nobody"]}));
    assert_eq!((status, &fault["field"]), (400, &json!("trunks")), "{fault}");
    let (status, number) = served.post("/v1/numbers", &json!({"x": X, "trunks": ["carrier"]}));
    assert_eq!(
        (status, &number["trunks"]),
        (201, &json!(["carrier"])),
        "{number}"
    );
    assert_eq!(served.get("/v1/trunks").1["trunks"][0]["name"], json!("carrier"));
}

#[test]
fn a_route_is_explained_for_a_party_and_for_a_stranger() {
    let served = with_x();
    let (_, bound) = served.post("/v1/bindings", &pair(A, B));
    let route = |caller: &str| served.post("/v1/route", &json!({"x": X, "caller": caller})).1;
    let reached = route("13800000001");
    assert_eq!(
        (&reached["decision"], &reached["called"], &reached["shown"]),
        (&json!("connect"), &json!(B), &json!(X))
    );
    assert_eq!(reached["binding"], bound["id"]);
    let stranger = route("13700000009");
    assert_eq!(
        (&stranger["decision"], &stranger["reason"]),
        (&json!("refuse"), &json!("no_binding"))
    );
    assert!(!stranger["sentences"].as_array().unwrap().is_empty());
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let served = with_x();
    let mut bound = Vec::new();
    for n in 0..5 {
        let (status, view) = served.post(
            "/v1/bindings",
            &pair(&format!("1380000001{n}"), &format!("1390000001{n}")),
        );
        assert_eq!(status, 201);
        bound.push(id(&view));
    }
    let (mut listed, mut path) = (Vec::new(), "/v1/bindings?limit=2".to_owned());
    loop {
        let (_, page) = served.get(&path);
        listed.extend(page["bindings"].as_array().unwrap().iter().map(id));
        match page["cursor"].as_str() {
            Some(cursor) => path = format!("/v1/bindings?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    bound.sort();
    assert_eq!(listed, bound);
}

#[test]
fn monitors_are_told_whether_calls_are_welcome() {
    let served = Served::start();
    assert_eq!(served.get("/healthz").0, 200);
    assert_eq!(served.get("/readyz").0, 503);
    served.desk.health.set("store", State::Ok, "");
    assert_eq!(served.get("/readyz").0, 200);
    served
        .desk
        .health
        .set("cdr", State::Degraded, "the disk is full: 3 CDRs wait in memory");
    assert_eq!(served.get("/readyz").0, 503, "a kill would cost records");
    assert_eq!(served.get("/healthz").0, 200);
    let (status, head, body) = served.whole("GET", "/metrics", &[], "");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(status == 200 && head.to_lowercase().contains(kind), "{head}");
    assert!(
        body.starts_with("# TYPE umbra_build info\n") && body.ends_with("\n# EOF\n"),
        "{body}"
    );
}

#[test]
fn a_full_queue_says_when_to_try_again() {
    use axum::response::IntoResponse;
    let response = crate::api::error::ApiError::busy("later").into_response();
    assert_eq!(response.status().as_u16(), 429);
    assert_eq!(response.headers()["retry-after"], "5");
}

#[test]
fn a_page_of_another_site_cannot_stop_the_server() {
    let served = Served::start_on_loopback();
    let ask = |host: &str, origin: &str| {
        let mut headers = vec![("host", host)];
        headers.extend((!origin.is_empty()).then_some(("origin", origin)));
        served.raw("POST", "/v1/stop", &headers, "").0
    };
    assert_eq!(ask("127.0.0.1:8080", "https://stranger.example"), 403);
    assert_eq!(ask("127.0.0.1:8080", "null"), 403);
    assert_eq!(ask("rebound.example:8080", ""), 403);
    assert_eq!(ask("rebound.example:8080", "http://rebound.example:8080"), 403);
    assert!(served.asked.lock().unwrap().is_empty());
    for (host, origin) in [
        ("127.0.0.1:8080", ""),
        ("[::1]:8080", ""),
        ("localhost", ""),
        ("localhost:80", "http://localhost:80"),
    ] {
        assert_eq!(ask(host, origin), 202, "{host}");
    }
}

#[test]
fn a_pools_settings_are_set_kept_and_refused_out_of_bounds() {
    let served = Served::start();
    let (_, pool) = served.post(
        "/v1/pools",
        &json!({"name": "crowd", "city_rule": "strict", "fallback_cities": ["Jinan"], "reuse": "sticky",
                "quarantine": "7d hard", "free_low_percent": 5, "ring_timeout_s": 30, "axb_pairs_per_x": 7}),
    );
    let set = |body: Value| served.ask("PATCH", "/v1/pools/crowd", &body);
    let (_, changed) = set(json!({"reuse": "avoid", "ring_timeout_s": null, "accept_unidentified": true}));
    for (name, value) in [
        ("key", pool["key"].clone()),
        ("city_rule", json!("strict")),
        ("fallback_cities", json!(["Jinan"])),
        ("reuse", json!("avoid")),
        ("quarantine", json!("7d hard")),
        ("free_low_percent", json!(5)),
        ("ring_timeout_s", Value::Null),
        ("axb_pairs_per_x", json!(7)),
        ("accept_unidentified", json!(true)),
        ("callback", json!("temporary")),
    ] {
        assert_eq!(changed[name], value, "{name}");
    }
    for (body, field) in [
        (json!({"quarantine": "366d hard"}), "quarantine"),
        (json!({"free_low_percent": 101}), "free_low_percent"),
        (json!({"ring_timeout_s": 4}), "ring_timeout_s"),
        (json!({"axb_pairs_per_x": 5_001}), "axb_pairs_per_x"),
        (json!({"relations_per_y": 0}), "relations_per_y"),
        (json!({"reuse": "again"}), "reuse"),
        (json!({"fallback_cities": [""]}), "city"),
    ] {
        let (status, fault) = set(body);
        assert_eq!((status, &fault["field"]), (400, &json!(field)), "{fault}");
    }
}

#[test]
fn a_pools_usage_tells_its_numbers_apart_by_state_and_city() {
    let served = Served::start();
    served.post("/v1/pools", &json!({"name": "crowd", "axb_pairs_per_x": 2}));
    let (status, added) = served.post(
        "/v1/numbers:batch",
        &json!({"xs": ["17000000001", "17000000002", "17000000003", "17000000004", "17000000001", "x"],
                "pool": "crowd", "city": "Qingdao", "operator": "CMCC", "tags": ["new"]}),
    );
    let codes: Vec<&Value> = added["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["error"]["code"])
        .collect();
    assert_eq!(status, 200);
    assert_eq!(codes[4..], [&json!("number_exists"), &json!("bad_number")]);
    assert!(codes[..4].iter().all(|code| code.is_null()), "{added}");
    served.post(
        "/v1/numbers",
        &json!({"x": "17000000005", "pool": "crowd", "inventory": true}),
    );
    served.post("/v1/numbers/17000000002/lock", &Value::Null);
    served.post("/v1/numbers/17000000003/freeze", &json!({"cause": "regulator"}));
    served.post("/v1/bindings", &pair(A, B));
    let (_, usage) = served.get("/v1/pools/crowd/usage");
    let of = |usage: &Value| {
        [
            "numbers",
            "idle",
            "bound",
            "locked",
            "frozen",
            "inventory",
            "bindings",
            "capacity",
            "free",
        ]
        .map(|name| usage[name].as_u64().unwrap())
    };
    assert_eq!(of(&usage), [5, 1, 1, 1, 1, 1, 1, 10, 3], "{usage}");
    assert_eq!(of(&usage["cities"]["Qingdao"]), [4, 1, 1, 1, 1, 0, 1, 8, 3]);
    assert_eq!(
        (&usage["free_percent"], &usage["low"]),
        (&json!(30), &json!(false))
    );
    let listed = |query: &str| {
        let (_, page) = served.get(&format!("/v1/numbers?{query}"));
        let numbers = page["numbers"].as_array().unwrap();
        numbers
            .iter()
            .map(|n| n["x"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("pool=crowd&state=idle"), ["17000000004"]);
    assert_eq!(listed("pool=crowd&state=bound"), ["17000000001"]);
    assert_eq!(listed("state=inventory"), ["17000000005"]);
    assert_eq!(listed("city=Qingdao&state=frozen"), ["17000000003"]);
    assert_eq!(listed("trunk=carrier"), [""; 0]);
}

#[test]
fn a_number_moves_without_bindings_only_and_comes_into_service_by_it() {
    let served = Served::start();
    served.post("/v1/accounts", &json!({"name": "shop"}));
    served.post("/v1/pools", &json!({"name": "crowd", "account": "shop"}));
    served.post("/v1/numbers", &json!({"x": X, "inventory": true}));
    assert_eq!(
        served.post("/v1/bindings", &pair(A, B)).1["code"],
        json!("number_in_inventory")
    );
    let to = |pool: &str| served.post(&format!("/v1/numbers/{X}/move"), &json!({"pool": pool}));
    assert_eq!(to("nowhere").1["code"], json!("unknown_pool"));
    let (_, moved) = to("crowd");
    assert_eq!(
        (&moved["pool"], &moved["account"], &moved["state"]),
        (&json!("crowd"), &json!("shop"), &json!("idle"))
    );
    served.post("/v1/bindings", &pair(A, B));
    let (status, fault) = to("default");
    assert_eq!((status, &fault["code"]), (409, &json!("number_bound")));
    served.ask("DELETE", &format!("/v1/bindings?x={X}"), &Value::Null);
    let moved = served.ask(
        "PATCH",
        &format!("/v1/numbers/{X}"),
        &json!({"pool": "default", "city": "Jinan"}),
    );
    assert_eq!(
        (&moved.1["pool"], &moved.1["city"]),
        (&json!("default"), &json!("Jinan"))
    );
}

#[test]
fn a_suspended_account_is_asked_and_not_served() {
    let served = with_x();
    let (_, bound) = served.post("/v1/bindings", &pair(A, B));
    let act = |what: &str| {
        served
            .post(&format!("/v1/accounts/default/{what}"), &Value::Null)
            .1
    };
    assert_eq!(act("suspend")["state"], json!("suspended"));
    for (method, path, body) in [
        ("POST", "/v1/bindings".to_owned(), pair(A, "13900000009")),
        (
            "DELETE",
            format!("/v1/bindings/{}", bound["id"].as_str().unwrap()),
            Value::Null,
        ),
    ] {
        let (status, fault) = served.ask(method, &path, &body);
        assert_eq!((status, &fault["code"]), (403, &json!("account_suspended")));
    }
    assert_eq!(served.get("/v1/bindings").1["bindings"][0]["id"], bound["id"]);
    assert_eq!(act("resume")["state"], json!("active"));
    served.ask("PATCH", "/v1/accounts/default", &json!({"expiry_max_s": 3_600}));
    let (_, fault) = served.post("/v1/bindings", &pair("13800000008", "13900000009"));
    assert_eq!(fault["code"], json!("expiry_too_late"));
    assert_eq!(served.post("/v1/accounts/nobody/suspend", &Value::Null).0, 404);
}

#[test]
fn a_trunk_is_blocked_whole_or_by_the_gateway_and_a_route_says_so() {
    const GATEWAY: &str = "sip:127.0.0.3:5060;transport=udp";
    let served = with_x();
    assert_eq!(served.post("/v1/bindings", &pair(A, B)).0, 201);
    let leaves = || served.post("/v1/route", &json!({"x": X, "caller": A})).1;
    let way =
        |state: &str| json!([{"trunk": "carrier", "gateway": GATEWAY, "right": "owns", "state": state}]);
    assert_eq!(leaves()["leaves_by"], way("open"));
    let (status, blocked) = served.post("/v1/trunks/carrier/block", &json!({"gateway": "127.0.0.3:5060"}));
    assert_eq!((status, &blocked["gateway"]), (200, &json!(GATEWAY)), "{blocked}");
    // It holds, and the admin hears that it won't after a restart.
    assert!(
        blocked["warning"].as_str().unwrap().contains("the disk is full"),
        "{blocked}"
    );
    let told = leaves();
    assert_eq!(told["leaves_by"], way("blocked"));
    let last = told["sentences"].as_array().unwrap().last().unwrap();
    assert_eq!(last, "Every way is blocked: the call fails with 500.");
    let trunk = || served.get("/v1/trunks").1["trunks"][0].clone();
    assert_eq!(
        (&trunk()["state"], &trunk()["ways"][0]["state"]),
        (&json!("blocked"), &json!("blocked"))
    );
    assert_eq!(served.post("/v1/trunks/carrier/unblock", &json!({})).0, 200);
    assert_eq!(trunk()["state"], "unprobed");
    assert_eq!(served.post("/v1/trunks/carrier/unblock", &json!({})).0, 404);
    // A gateway that the conf has no more can be unblocked by the name that it had, and nothing else is.
    let gone = "sip:sbc.carrier.example;transport=tls";
    for gateway in [gone, GATEWAY] {
        let block = Block {
            trunk: "carrier".into(),
            gateway: Some(gateway.into()),
            since: served.desk.now(),
        };
        served.desk.reach.block(block).expect("there is room");
    }
    let unblock = || served.post("/v1/trunks/carrier/unblock", &json!({"gateway": gone}));
    assert_eq!((unblock().0, unblock().0), (200, 404));
    assert_eq!(leaves()["leaves_by"], way("blocked"));
    for (path, body, status) in [
        ("nobody/block", json!({}), 404),
        ("carrier/block", json!({"gateway": "127.0.0.9"}), 404),
        ("carrier/block", json!({"gate": "127.0.0.3"}), 400),
        ("carrier/paint", json!({}), 404),
        // The shard of this test sends none.
        ("carrier/probe", json!({}), 429),
    ] {
        let (found, fault) = served.post(&format!("/v1/trunks/{path}"), &body);
        assert_eq!(found, status, "{path} {body}: {fault}");
    }
}
