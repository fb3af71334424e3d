# Says of a failed suite's log what failed: each test's name, and what it said when it panicked.
#
#   awk -f tests/what_failed.awk target/test-logs/live.log
#
# At most `most` lines of messages, which the tests share. Where no test has failed by itself (it did not compile, it
# hung, it died), it says which tests did not end, the last panic and cargo's errors, or else the log's end.

BEGIN {
    most = 30
    widest = 240
    tests = at = 0
}

# ---- the_name_of_a_test stdout ----
/^---- .* stdout ----$/ {
    at = ++tests
    names[at] = substr($0, 6, length($0) - 17)
    listed[names[at]] = 1
    in_message = 0
    next
}
/^(failures:|test result: .*)$/ { at = in_message = 0; next }

/^test .* \.\.\. FAILED$/ { failed[substr($0, 6, length($0) - 16)] = 1 }
/^test .* has been running for over / { slow[$2] = 1 }
/^test .* \.\.\. / { delete slow[$2] }

# The last panic is told; but one of the test's own thread before those of others.
/^thread '.*' (\([0-9]+\) )?panicked at / {
    is_own = at && index($0, "thread '" names[at] "'") == 1
    in_message = is_own || !has_own[at]
    if (in_message) {
        has_own[at] = is_own
        has_panic[at] = 1
        count[at] = 0
        sub(/^.*panicked at /, "panicked at ")
        keep($0)
    }
    next
}
/^(stack backtrace:|note: run with .*)$/ { in_message = 0; next }
in_message { keep($0); next }

# Without a panic: what it returned, or that it should have panicked.
at && !has_panic[at] { keep($0) }

!at && /^(error|Caused by:)/ { in_error = 1 }
/^$/ { in_error = 0 }
!at && in_error && errors < most { error[++errors] = $0 }
/./ { last[lines++ % 10] = $0 }

function keep(line) {
    if (line != "" && count[at] < most) text[at, ++count[at]] = line
}

function say(line) {
    if (said++ < most) print "    " substr(line, 1, widest)
}

function say_panic(of, share, i) {
    for (i = 1; i <= count[of] && i <= share; i++) say(text[of, i])
}

END {
    share = tests ? int(most / tests) : most
    for (of = 1; of <= tests; of++) {
        print "  " names[of]
        say_panic(of, share < 2 ? 2 : share)
    }
    for (name in failed) if (!(name in listed)) print "  " name
    for (name in slow) print "  " name " did not end"
    if (tests) exit
    say_panic(0, most)
    for (i = 1; i <= errors; i++) say(error[i])
    if (!said) for (i = lines > 10 ? lines - 10 : 0; i < lines; i++) say(last[i % 10])
}
