# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hookfire_global_optspecs
    string join \n config= journal= q/quiet v/verbose color= h/help V/version
end

function __fish_hookfire_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hookfire_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hookfire_using_subcommand
    set -l cmd (__fish_hookfire_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hookfire -n "__fish_hookfire_needs_command" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_needs_command" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_needs_command" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_needs_command" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_needs_command" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_needs_command" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "fire" -d 'Send an event, and retry until it is delivered'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "failed" -d 'List, show, delete and import failed deliveries'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "retry" -d 'Send failed deliveries again'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "captured" -d 'List, show, replay, compare, verify and delete captured requests'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "journal" -d 'List all deliveries; check, copy and prune the journal'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "listen" -d 'Capture webhooks: any method, any path, stored byte for byte before the response'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "ping" -d 'Check whether an endpoint responds, like 3scale\'s "Ping!" button'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "portal" -d 'List, recover and delete failed deliveries of a 3scale tenant; read its objects; set its webhooks'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "events" -d 'List the events that 3scale fires, and show their samples'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "config" -d 'Write a configuration file, and show the resolved settings'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "expect" -d 'Wait for a webhook that matches conditions, for tests and CI'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "demo" -d 'Watch a webhook fail, be kept and be delivered, in seconds and all on this machine'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "generate" -d 'Write shell completions and man pages'
complete -c hookfire -n "__fish_hookfire_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l object -d 'Read the object\'s XML from this file (- = stdin) instead of using the built-in sample' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l portal-object -d 'Fetch the object with this id from the 3scale tenant; TYPE is account, user or application' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l portal-account -d 'The account of --portal-object; required for a user' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l event -d 'Send the event document in this file (- = stdin) byte for byte' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l set -d 'Set a field of the object: `org_name=Acme`, `plan/name=Gold`, `users/user[2]/email=a@b.c` (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l batch -d 'Send the events in this file (- = stdin), one JSON object per line' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l skip -d 'Skip the first N lines of the batch' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -s j -l jobs -d 'Maximum number of concurrent requests [default: 8; for `retry` without --due: 1]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l rate -d 'Maximum number of attempts, retries included, per second, minute or hour: 10/s, 600/m, 100/h' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l auth-mode -d 'Authentication of the sample\'s application: user key, application id and keys, OAuth or OpenID Connect [default: as the action implies, else user-key]' -r -f -a "user-key\t''
app-id\t''
oauth\t''
oidc\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l seed -d 'Make the sample\'s ids, keys and times reproducible: the same number yields the same values [default: random]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l wire -d 'Request body: the XML, or a form with the XML in the field `params[xml]` [default: xml]' -r -f -a "xml\t''
form\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l compat -d 'Field order: `documented` (type, action), or `porta` (action, type, and the sample on one line) as 3scale\'s own software sends it [default: documented]' -r -f -a "documented\t''
porta\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l portal-url -d 'The admin portal, such as `https://acme-admin.3scale.net` [default: the configuration\'s `portal.url`]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l portal-token-file -d 'The file with the token [default: the variable HOOKFIRE_PORTAL_TOKEN, else the configuration\'s `portal.token`]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -s e -l endpoint -d 'A configured endpoint [default: the configuration\'s `default_endpoint`]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l url -d 'A URL; all values in its query are treated as secrets' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l secret -d 'A secret query parameter; VALUE is @env:VAR, @file:PATH or a literal (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l param -d 'A query parameter that is not secret (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -s H -l header -d 'An extra request header; VALUE may be @env:VAR or @file:PATH (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l origin -d 'Where the change was made; changes in the admin portal are sent only if the endpoint\'s `provider_actions` is on [default: developer-portal]' -r -f -a "developer-portal\t''
admin-portal\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l retries -d 'Attempts after the first one [default: 5; for `retry`: 0]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l retry-interval -d 'Time between attempts, such as 500ms, 60s or 1m30s [default: 60s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l success -d 'Status codes that count as delivered, such as 200,202 or 200-207 [default: 200]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l timeout -d 'Time limit of an attempt [default: 30s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l connect-timeout -d 'Time limit for DNS, connecting and TLS [default: 10s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l cacert -d 'Trust these certificates (PEM) instead of the system\'s' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l cert -d 'Use this client certificate (PEM, with its key unless --key is given)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l key -d 'The key of the client certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l proxy -d 'Use this proxy, except for loopback addresses [default: the environment\'s HTTP_PROXY, HTTPS_PROXY and NO_PROXY]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l force -d 'Send the event even if a switch of the endpoint disables it'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l no-retry -d 'Make one attempt only, like --retries 0'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l background -d 'Make one attempt; if it fails, schedule the next one in the journal for `hookfire retry --due`'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l insecure -d 'Do not verify TLS certificates; recorded with each attempt'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -l dry-run -d 'Show the request and the retry policy; send and record nothing'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand fire" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -f -a "list" -d 'List failed deliveries, oldest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -f -a "show" -d 'Show a failed delivery: attempts, errors, response and event'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -f -a "delete" -d 'Delete failed deliveries from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -f -a "import" -d 'Import 3scale\'s list of failed deliveries into the failed list'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and not __fish_seen_subcommand_from list show delete import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l limit -d 'List at most N' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -s e -l endpoint -d 'Only deliveries for this endpoint' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l type -d 'Only events of this type' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l action -d 'Only events with this action' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l since -d 'Only deliveries that failed (otherwise: were delivered or accepted) at or after this time: 2026-11-20, RFC 3339, or an age such as 2h' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l before -d 'Only deliveries that failed at or before this time; without a fraction it includes the whole second' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l http-status -d 'Only deliveries whose last error was this HTTP status, such as 503 or 5xx' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l error -d 'Only deliveries whose last error was of this kind' -r -f -a "status\t''
dns\t''
connect\t''
tls\t''
timeout\t''
reset\t''
protocol\t''
secret\t''
interrupted\t''
portal\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''
csv\t''
xml\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from show" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''
xml\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from show" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from show" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -s e -l endpoint -d 'Only deliveries for this endpoint' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l type -d 'Only events of this type' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l action -d 'Only events with this action' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l since -d 'Only deliveries that failed (otherwise: were delivered or accepted) at or after this time: 2026-11-20, RFC 3339, or an age such as 2h' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l before -d 'Only deliveries that failed at or before this time; without a fraction it includes the whole second' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l http-status -d 'Only deliveries whose last error was this HTTP status, such as 503 or 5xx' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l error -d 'Only deliveries whose last error was of this kind' -r -f -a "status\t''
dns\t''
connect\t''
tls\t''
timeout\t''
reset\t''
protocol\t''
secret\t''
interrupted\t''
portal\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l all -d 'All failed deliveries'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -l dry-run -d 'Show what would be deleted, and delete nothing'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Do not ask for confirmation'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from delete" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from import" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from import" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from import" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from import" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from import" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from import" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from help" -f -a "list" -d 'List failed deliveries, oldest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a failed delivery: attempts, errors, response and event'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete failed deliveries from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from help" -f -a "import" -d 'Import 3scale\'s list of failed deliveries into the failed list'
complete -c hookfire -n "__fish_hookfire_using_subcommand failed; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -s e -l endpoint -d 'With ids or --all: send to this endpoint instead. Otherwise a filter: only deliveries for it' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l url -d 'Send to this URL instead' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l secret -d 'A secret query parameter; VALUE is @env:VAR, @file:PATH or a literal (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l param -d 'A query parameter that is not secret (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -s H -l header -d 'An extra request header; VALUE may be @env:VAR or @file:PATH (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l type -d 'Only events of this type' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l action -d 'Only events with this action' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l since -d 'Only deliveries that failed (otherwise: were delivered or accepted) at or after this time: 2026-11-20, RFC 3339, or an age such as 2h' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l before -d 'Only deliveries that failed at or before this time; without a fraction it includes the whole second' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l http-status -d 'Only deliveries whose last error was this HTTP status, such as 503 or 5xx' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l error -d 'Only deliveries whose last error was of this kind' -r -f -a "status\t''
dns\t''
connect\t''
tls\t''
timeout\t''
reset\t''
protocol\t''
secret\t''
interrupted\t''
portal\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l retries -d 'Attempts after the first one [default: 5; for `retry`: 0]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l retry-interval -d 'Time between attempts, such as 500ms, 60s or 1m30s [default: 60s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l success -d 'Status codes that count as delivered, such as 200,202 or 200-207 [default: 200]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -s j -l jobs -d 'Maximum number of concurrent requests [default: 8; for `retry` without --due: 1]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l rate -d 'Maximum number of attempts, retries included, per second, minute or hour: 10/s, 600/m, 100/h' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l max -d 'Send at most N' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l stop-after -d 'Stop after N failures in a row; a delivery that cannot be sent does not count' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l timeout -d 'Time limit of an attempt [default: 30s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l connect-timeout -d 'Time limit for DNS, connecting and TLS [default: 10s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l cacert -d 'Trust these certificates (PEM) instead of the system\'s' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l cert -d 'Use this client certificate (PEM, with its key unless --key is given)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l key -d 'The key of the client certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l proxy -d 'Use this proxy, except for loopback addresses [default: the environment\'s HTTP_PROXY, HTTPS_PROXY and NO_PROXY]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l all -d 'All failed deliveries'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l due -d 'Scheduled deliveries that are due, and those of processes that died'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l watch -d 'With --due: continue until Ctrl-C, and make each attempt when it is due'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l insecure -d 'Do not verify TLS certificates; recorded with each attempt'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -l dry-run -d 'Show what would be sent, and send nothing'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand retry" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -f -a "list" -d 'List captured requests, newest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -f -a "show" -d 'Show a captured request: head, formatted body, and response'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -f -a "bins" -d 'List the bins of captured requests'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -f -a "delete" -d 'Delete captured requests from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -f -a "replay" -d 'Send captured requests again'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -f -a "diff" -d 'Compare two captured requests, or a delivery with a captured request'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -f -a "verify" -d 'Check the signature of a captured request, and find out why it does not match'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and not __fish_seen_subcommand_from list show bins delete replay diff verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l limit -d 'List at most N' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l bin -d 'Only captures in this bin' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l method -d 'Only requests with this method, such as POST, in any case' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l type -d 'Only requests whose body is an event of this type' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l action -d 'Only requests whose body is an event with this action' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l since -d 'Only requests received at or after this time: 2026-11-20, RFC 3339, or an age such as 2h' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''
csv\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -l reveal -d 'Show secret values'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -l as -d 'Print the request for another tool' -r -f -a "curl\t'A curl command'
http\t'A request for a .http file, as REST clients of editors read it'
har\t'A HAR 1.2 archive'
json\t'The JSON object that `listen` prints'"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -l raw -d 'Write the exact bytes of head and body'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -l body -d 'Write the exact bytes of the body, without transfer coding'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -l reveal -d 'Show secret values'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from bins" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''
csv\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from bins" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from bins" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from bins" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from bins" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from bins" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from bins" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from bins" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l bin -d 'Only captures in this bin' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l method -d 'Only requests with this method, such as POST, in any case' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l type -d 'Only requests whose body is an event of this type' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l action -d 'Only requests whose body is an event with this action' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l since -d 'Only requests received at or after this time: 2026-11-20, RFC 3339, or an age such as 2h' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l all -d 'All captures'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l with-bin -d 'Delete the bin of --bin too, with all its captures'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -l dry-run -d 'Show what would be deleted, and delete nothing'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Do not ask for confirmation'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from delete" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l to -d 'Where to send; all values in its query are treated as secrets' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -s e -l endpoint -d 'Send to this configured endpoint, with its secrets and headers' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l timeout -d 'Time limit of an attempt [default: 30s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l connect-timeout -d 'Time limit for DNS, connecting and TLS [default: 10s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l cacert -d 'Trust these certificates (PEM) instead of the system\'s' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l cert -d 'Use this client certificate (PEM, with its key unless --key is given)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l key -d 'The key of the client certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l proxy -d 'Use this proxy, except for loopback addresses [default: the environment\'s HTTP_PROXY, HTTPS_PROXY and NO_PROXY]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l send-credentials -d 'Send captured credentials to another host too'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l insecure -d 'Do not verify TLS certificates; recorded with each attempt'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -l dry-run -d 'Show what would be sent, and send nothing'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from replay" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from diff" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from diff" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from diff" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from diff" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from diff" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from diff" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from diff" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -l scheme -d 'How the request is signed: standard, github, stripe, slack or shopify [default: by its headers]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -l signing-secret -d 'The secret: @env:VARIABLE, @file:PATH or a literal (repeatable: one of them must match)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -l tolerance -d 'How far the signature\'s timestamp may be from the time at which the request arrived' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from verify" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from help" -f -a "list" -d 'List captured requests, newest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a captured request: head, formatted body, and response'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from help" -f -a "bins" -d 'List the bins of captured requests'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete captured requests from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from help" -f -a "replay" -d 'Send captured requests again'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Compare two captured requests, or a delivery with a captured request'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Check the signature of a captured request, and find out why it does not match'
complete -c hookfire -n "__fish_hookfire_using_subcommand captured; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -f -a "list" -d 'List deliveries of any status, newest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -f -a "show" -d 'Show a delivery of any status: attempts, errors, response and event'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -f -a "path" -d 'Print the path of the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -f -a "check" -d 'Check the journal for damage, and count its contents'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -f -a "prune" -d 'Delete old deliveries from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -f -a "cancel" -d 'Cancel scheduled attempts'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -f -a "export" -d 'Copy the journal to a new file'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and not __fish_seen_subcommand_from list show path check prune cancel export help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l status -d 'Only deliveries of this status' -r -f -a "pending\t''
delivered\t''
failed\t''
interrupted\t''
ignored\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l limit -d 'List at most N' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -s e -l endpoint -d 'Only deliveries for this endpoint' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l type -d 'Only events of this type' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l action -d 'Only events with this action' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l since -d 'Only deliveries that failed (otherwise: were delivered or accepted) at or after this time: 2026-11-20, RFC 3339, or an age such as 2h' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l before -d 'Only deliveries that failed at or before this time; without a fraction it includes the whole second' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l http-status -d 'Only deliveries whose last error was this HTTP status, such as 503 or 5xx' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l error -d 'Only deliveries whose last error was of this kind' -r -f -a "status\t''
dns\t''
connect\t''
tls\t''
timeout\t''
reset\t''
protocol\t''
secret\t''
interrupted\t''
portal\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''
csv\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from show" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''
xml\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from show" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from show" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from path" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from path" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from path" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from path" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from path" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from path" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from path" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from check" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from check" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from check" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from check" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from check" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -l older-than -d 'Delete deliveries that were delivered or failed at or before this time: an age such as 30d, or a time' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -l status -d 'Delete deliveries of this status' -r -f -a "delivered\t''
failed\t''
interrupted\t''
ignored\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -l dry-run -d 'Show what would be deleted, and delete nothing'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -s y -l yes -d 'Do not ask for confirmation'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from prune" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -s e -l endpoint -d 'All scheduled deliveries for this endpoint' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -l all -d 'All scheduled deliveries'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from cancel" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from export" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from export" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from export" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from export" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from export" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from export" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from export" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from help" -f -a "list" -d 'List deliveries of any status, newest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a delivery of any status: attempts, errors, response and event'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from help" -f -a "path" -d 'Print the path of the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check the journal for damage, and count its contents'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from help" -f -a "prune" -d 'Delete old deliveries from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from help" -f -a "cancel" -d 'Cancel scheduled attempts'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from help" -f -a "export" -d 'Copy the journal to a new file'
complete -c hookfire -n "__fish_hookfire_using_subcommand journal; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l port -d 'The port, if ADDR has none' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l bin -d 'Create these bins; other requests go to the first (repeatable) [default: inbox]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l respond -d 'Responses in turn, the last one repeated: 200; 503x3,200 (three times 503, then 200); 200@2s (after two seconds); timeout; reset' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l response-body -d 'Body of the response [default: ok]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l response-header -d 'Header of the response (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l require-secret -d 'Respond with 403 unless the query has this secret; VALUE is @env:VAR, @file:PATH or a literal (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l forward-to -d 'Forward each request to this URL and return its response' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l allow-origin -d 'Allow scripts of this origin to use RequestBin\'s API: an origin, or *' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l require-portal-token -d 'The token that the emulated portal requires, as @env:VAR, @file:PATH or a literal [default: none]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l max-body -d 'Maximum length of a body, up to 256MiB; longer ones get a 413, at once if the length is declared' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l max-head -d 'Maximum length of a head, 8KiB to 16MiB; longer ones get a 431' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l max-headers -d 'Maximum number of headers; more get a 431' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l max-buffered -d 'Maximum memory for requests until they are stored, beyond 8 KiB per connection' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l read-timeout -d 'How long a head may take, and then a body (otherwise 408), and how long a response may stay unread' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l max-connections -d 'Maximum number of connections' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l keep -d 'Keep the newest N captures of each bin, and up to a hundredth more until they are deleted together' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l exit-after -d 'Exit after N requests (concurrent ones are still captured)' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l for -d 'Exit after this time; with --exit-after, the exit code is 7 if fewer arrived' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l ready-file -d 'Write the URL to this file when ready; removed at exit' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l tls-cert -d 'Serve https with this certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l tls-key -d 'Key of the certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l timeout -d 'Time limit of an attempt [default: 30s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l connect-timeout -d 'Time limit for DNS, connecting and TLS [default: 10s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l cacert -d 'Trust these certificates (PEM) instead of the system\'s' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l cert -d 'Use this client certificate (PEM, with its key unless --key is given)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l key -d 'The key of the client certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l proxy -d 'Use this proxy, except for loopback addresses [default: the environment\'s HTTP_PROXY, HTTPS_PROXY and NO_PROXY]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -s o -l output -d 'Output format' -r -f -a "text\t'One line per capture'
ndjson\t'One JSON object per line; the first has the URL'"
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l expose -d 'Listen on all addresses, or on ADDR; the page and the APIs then require a token, which is printed'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l status-in-path -d 'Respond with the status that the path ends with, as in /inbox/503'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l emulate-portal -d 'Emulate a 3scale portal for `hookfire portal`: failures and webhook settings below /admin/api/webhooks; no request below /admin is captured'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l open -d 'Open the page in a browser'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l insecure -d 'Do not verify TLS certificates; recorded with each attempt'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -l reveal -d 'Print secret values'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand listen" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -s e -l endpoint -d 'A configured endpoint [default: the configuration\'s `default_endpoint`]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l url -d 'A URL; all values in its query are treated as secrets' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l secret -d 'A secret query parameter; VALUE is @env:VAR, @file:PATH or a literal (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l param -d 'A query parameter that is not secret (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -s H -l header -d 'An extra request header; VALUE may be @env:VAR or @file:PATH (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l success -d 'Status codes that count as success, such as 200,202 or 200-207 [default: 200]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l timeout -d 'Time limit of an attempt [default: 30s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l connect-timeout -d 'Time limit for DNS, connecting and TLS [default: 10s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l cacert -d 'Trust these certificates (PEM) instead of the system\'s' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l cert -d 'Use this client certificate (PEM, with its key unless --key is given)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l key -d 'The key of the client certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l proxy -d 'Use this proxy, except for loopback addresses [default: the environment\'s HTTP_PROXY, HTTPS_PROXY and NO_PROXY]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -l insecure -d 'Do not verify TLS certificates; recorded with each attempt'
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand ping" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -f -a "failed" -d 'List and delete a tenant\'s failed deliveries'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -f -a "recover" -d 'Send the tenant\'s failed deliveries, and delete the delivered ones there'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -f -a "object" -d 'Print an object of the tenant as XML, as it goes into an event'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -f -a "webhooks" -d 'Change how the tenant sends webhooks'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and not __fish_seen_subcommand_from failed recover object webhooks help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -f -a "list" -d 'List the tenant\'s failed deliveries, oldest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -f -a "delete" -d 'Delete the tenant\'s failed deliveries, whether or not they were resent'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from failed" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l max -d 'Send at most N' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l stop-after -d 'Stop after N failures in a row; a delivery that cannot be sent does not count' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -s e -l endpoint -d 'Send to this endpoint instead' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l url -d 'Send to this URL instead' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l secret -d 'A secret query parameter; VALUE is @env:VAR, @file:PATH or a literal (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l param -d 'A query parameter that is not secret (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -s H -l header -d 'An extra request header; VALUE may be @env:VAR or @file:PATH (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l portal-url -d 'The admin portal, such as `https://acme-admin.3scale.net` [default: the configuration\'s `portal.url`]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l portal-token-file -d 'The file with the token [default: the variable HOOKFIRE_PORTAL_TOKEN, else the configuration\'s `portal.token`]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l retries -d 'Attempts after the first one [default: 5; for `retry`: 0]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l retry-interval -d 'Time between attempts, such as 500ms, 60s or 1m30s [default: 60s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l success -d 'Status codes that count as delivered, such as 200,202 or 200-207 [default: 200]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l timeout -d 'Time limit of an attempt [default: 30s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l connect-timeout -d 'Time limit for DNS, connecting and TLS [default: 10s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l cacert -d 'Trust these certificates (PEM) instead of the system\'s' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l cert -d 'Use this client certificate (PEM, with its key unless --key is given)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l key -d 'The key of the client certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l proxy -d 'Use this proxy, except for loopback addresses [default: the environment\'s HTTP_PROXY, HTTPS_PROXY and NO_PROXY]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l dry-run -d 'Show what would be sent and deleted, and change nothing'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -l insecure -d 'Do not verify TLS certificates; recorded with each attempt'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from recover" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l account -d 'Its account; required for a user' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l portal-url -d 'The admin portal, such as `https://acme-admin.3scale.net` [default: the configuration\'s `portal.url`]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l portal-token-file -d 'The file with the token [default: the variable HOOKFIRE_PORTAL_TOKEN, else the configuration\'s `portal.token`]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l timeout -d 'Time limit of an attempt [default: 30s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l connect-timeout -d 'Time limit for DNS, connecting and TLS [default: 10s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l cacert -d 'Trust these certificates (PEM) instead of the system\'s' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l cert -d 'Use this client certificate (PEM, with its key unless --key is given)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l key -d 'The key of the client certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l proxy -d 'Use this proxy, except for loopback addresses [default: the environment\'s HTTP_PROXY, HTTPS_PROXY and NO_PROXY]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -l insecure -d 'Do not verify TLS certificates; recorded with each attempt'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from object" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -f -a "set" -d 'Set the tenant\'s webhook URL and switches'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from webhooks" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from help" -f -a "failed" -d 'List and delete a tenant\'s failed deliveries'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from help" -f -a "recover" -d 'Send the tenant\'s failed deliveries, and delete the delivered ones there'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from help" -f -a "object" -d 'Print an object of the tenant as XML, as it goes into an event'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from help" -f -a "webhooks" -d 'Change how the tenant sends webhooks'
complete -c hookfire -n "__fish_hookfire_using_subcommand portal; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -f -a "list" -d 'List the events that 3scale documents, and whether an endpoint gets them'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -f -a "show" -d 'Show the built-in sample of an event'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and not __fish_seen_subcommand_from list show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -s e -l endpoint -d 'Show the switches of this endpoint [default: the configuration\'s `default_endpoint`]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -l origin -d 'Where the change was made; changes in the admin portal are sent only if the endpoint\'s `provider_actions` is on [default: developer-portal]' -r -f -a "developer-portal\t''
admin-portal\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''
csv\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -l auth-mode -d 'Authentication of the sample\'s application: user key, application id and keys, OAuth or OpenID Connect [default: as the action implies, else user-key]' -r -f -a "user-key\t''
app-id\t''
oauth\t''
oidc\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -l seed -d 'Make the sample\'s ids, keys and times reproducible: the same number yields the same values [default: random]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -l compat -d 'Field order: `documented` (type, action), or `porta` (action, type, and the sample on one line) as 3scale\'s own software sends it [default: documented]' -r -f -a "documented\t''
porta\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''
xml\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the events that 3scale documents, and whether an endpoint gets them'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show the built-in sample of an event'
complete -c hookfire -n "__fish_hookfire_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -f -a "init" -d 'Write a configuration file with every key explained'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -f -a "show" -d 'Show the value of every setting, and where it comes from'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -f -a "path" -d 'Print the path of the configuration file'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and not __fish_seen_subcommand_from init show path help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from init" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from init" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from init" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from init" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -s e -l endpoint -d 'A configured endpoint [default: the configuration\'s `default_endpoint`]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l url -d 'A URL; all values in its query are treated as secrets' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l secret -d 'A secret query parameter; VALUE is @env:VAR, @file:PATH or a literal (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l param -d 'A query parameter that is not secret (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -s H -l header -d 'An extra request header; VALUE may be @env:VAR or @file:PATH (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l retries -d 'Attempts after the first one [default: 5; for `retry`: 0]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l retry-interval -d 'Time between attempts, such as 500ms, 60s or 1m30s [default: 60s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l success -d 'Status codes that count as delivered, such as 200,202 or 200-207 [default: 200]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l timeout -d 'Time limit of an attempt [default: 30s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l connect-timeout -d 'Time limit for DNS, connecting and TLS [default: 10s]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l cacert -d 'Trust these certificates (PEM) instead of the system\'s' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l cert -d 'Use this client certificate (PEM, with its key unless --key is given)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l key -d 'The key of the client certificate (PEM)' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l proxy -d 'Use this proxy, except for loopback addresses [default: the environment\'s HTTP_PROXY, HTTPS_PROXY and NO_PROXY]' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l wire -d 'Request body: the XML, or a form with the XML in the field `params[xml]` [default: xml]' -r -f -a "xml\t''
form\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l compat -d 'Field order: `documented` (type, action), or `porta` (action, type, and the sample on one line) as 3scale\'s own software sends it [default: documented]' -r -f -a "documented\t''
porta\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l origin -d 'Where the change was made; changes in the admin portal are sent only if the endpoint\'s `provider_actions` is on [default: developer-portal]' -r -f -a "developer-portal\t''
admin-portal\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -l insecure -d 'Do not verify TLS certificates; recorded with each attempt'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from path" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from path" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from path" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from path" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from path" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from path" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from path" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "init" -d 'Write a configuration file with every key explained'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show the value of every setting, and where it comes from'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "path" -d 'Print the path of the configuration file'
complete -c hookfire -n "__fish_hookfire_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l type -d 'The event has this type' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l action -d 'The event has this action' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l match -d 'The body has this value at this path: `object/application/plan/name=Gold`, `//org_name=Acme` (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l method -d 'The request has this method' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -s H -l header -d 'The request has this header; also as \'NAME: VALUE\'; VALUE may be @env:VAR or @file:PATH (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l secret -d 'The query has this secret; VALUE is @env:VAR, @file:PATH or a literal, and is never shown (repeatable)' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l count -d 'Wait for at least N matching requests; 0: none may arrive during --within' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l within -d 'How long to wait' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l listen -d 'Listen at this address instead of a free port of 127.0.0.1: PORT, :PORT or ADDRESS:PORT' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l respond -d 'Respond with these statuses in turn, or `timeout` or `reset`, such as 503x2,200 or 200@2s; the last one repeats' -r
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l bin -d 'Do not listen, but watch this bin of a running `hookfire listen`' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l since -d 'With --bin: include captures since this time: RFC 3339, 2026-11-20, or an age such as 5m [default: now]' -r -f
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l junit -d 'Write a JUnit report with one test case to this file' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -s o -l output -d 'Output format' -r -f -a "text\t''
json\t''
ndjson\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand expect" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand demo" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand demo" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand demo" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand demo" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand demo" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookfire -n "__fish_hookfire_using_subcommand demo" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -f -a "completions" -d 'Print shell completions'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -f -a "man" -d 'Write the man pages of all commands and the manual\'s chapters'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and not __fish_seen_subcommand_from completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from completions" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from completions" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from completions" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from completions" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from completions" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from completions" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from completions" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from man" -l config -d 'Read this configuration file [default: ~/.config/hookfire/config.toml]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from man" -l journal -d 'Use this journal [default: ~/.local/state/hookfire/journal.db]' -r -F
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from man" -l color -d 'When to use colour; auto: on a terminal, unless NO_COLOR is set' -r -f -a "auto\t''
always\t''
never\t''"
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from man" -s q -l quiet -d 'Print only errors to stderr'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from man" -s v -l verbose -d 'Print more to stderr: files, requests, ids; twice: also events and response bodies'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from man" -s h -l help -d 'Print help'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from man" -s V -l version -d 'Print version'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "completions" -d 'Print shell completions'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "man" -d 'Write the man pages of all commands and the manual\'s chapters'
complete -c hookfire -n "__fish_hookfire_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "fire" -d 'Send an event, and retry until it is delivered'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "failed" -d 'List, show, delete and import failed deliveries'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "retry" -d 'Send failed deliveries again'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "captured" -d 'List, show, replay, compare, verify and delete captured requests'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "journal" -d 'List all deliveries; check, copy and prune the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "listen" -d 'Capture webhooks: any method, any path, stored byte for byte before the response'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "ping" -d 'Check whether an endpoint responds, like 3scale\'s "Ping!" button'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "portal" -d 'List, recover and delete failed deliveries of a 3scale tenant; read its objects; set its webhooks'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "events" -d 'List the events that 3scale fires, and show their samples'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "config" -d 'Write a configuration file, and show the resolved settings'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "expect" -d 'Wait for a webhook that matches conditions, for tests and CI'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "demo" -d 'Watch a webhook fail, be kept and be delivered, in seconds and all on this machine'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "generate" -d 'Write shell completions and man pages'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and not __fish_seen_subcommand_from fire failed retry captured journal listen ping portal events config expect demo generate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from failed" -f -a "list" -d 'List failed deliveries, oldest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from failed" -f -a "show" -d 'Show a failed delivery: attempts, errors, response and event'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from failed" -f -a "delete" -d 'Delete failed deliveries from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from failed" -f -a "import" -d 'Import 3scale\'s list of failed deliveries into the failed list'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from captured" -f -a "list" -d 'List captured requests, newest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from captured" -f -a "show" -d 'Show a captured request: head, formatted body, and response'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from captured" -f -a "bins" -d 'List the bins of captured requests'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from captured" -f -a "delete" -d 'Delete captured requests from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from captured" -f -a "replay" -d 'Send captured requests again'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from captured" -f -a "diff" -d 'Compare two captured requests, or a delivery with a captured request'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from captured" -f -a "verify" -d 'Check the signature of a captured request, and find out why it does not match'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from journal" -f -a "list" -d 'List deliveries of any status, newest first'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from journal" -f -a "show" -d 'Show a delivery of any status: attempts, errors, response and event'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from journal" -f -a "path" -d 'Print the path of the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from journal" -f -a "check" -d 'Check the journal for damage, and count its contents'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from journal" -f -a "prune" -d 'Delete old deliveries from the journal'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from journal" -f -a "cancel" -d 'Cancel scheduled attempts'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from journal" -f -a "export" -d 'Copy the journal to a new file'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from portal" -f -a "failed" -d 'List and delete a tenant\'s failed deliveries'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from portal" -f -a "recover" -d 'Send the tenant\'s failed deliveries, and delete the delivered ones there'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from portal" -f -a "object" -d 'Print an object of the tenant as XML, as it goes into an event'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from portal" -f -a "webhooks" -d 'Change how the tenant sends webhooks'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "list" -d 'List the events that 3scale documents, and whether an endpoint gets them'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "show" -d 'Show the built-in sample of an event'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "init" -d 'Write a configuration file with every key explained'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Show the value of every setting, and where it comes from'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "path" -d 'Print the path of the configuration file'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "completions" -d 'Print shell completions'
complete -c hookfire -n "__fish_hookfire_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "man" -d 'Write the man pages of all commands and the manual\'s chapters'
