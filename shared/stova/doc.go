// Package stova reads the Stova (formerly Aventri) registration API, version 2:
// it logs in, lists the ids of a stream and fetches its rows one by one. What
// the rows mean is left to the mapping; where they go, to the pipeline.
//
// An answer is judged in this order (stova-api.md §11; the first that holds wins):
//
//	no answer              refused, host not found, cut off    ─► try again, STOVA_SERVER
//	                       none in time                        ─► try again, STOVA_TIMEOUT
//	429                    everybody waits (Budget.Block)      ─► try again, STOVA_RATE
//	5xx                    lists step down on 500, 502, 504    ─► try again, STOVA_SERVER
//	3xx                    never followed: it would carry the token elsewhere ─► STOVA_BODY
//	over 10 MB             lists step down                     ─► STOVA_TOO_LARGE
//	not UTF-8              read again as Windows-1252, then on
//	401, 403 without JSON  log in again once                   ─► STOVA_AUTH
//	not JSON, or cut off   gateway page, also with status 200  ─► try again, STOVA_BODY
//	"No … found."          an empty list; on a row: ErrGone
//	error names the row id                                     ─► ErrGone
//	any other error        log in again once, then
//	                       credentials ─► STOVA_AUTH, eventid ─► STOVA_EVENT, else STOVA_BODY
//	data
//
// A call is tried 5 times (P14), calls answered with 429 are tried 10 times,
// and no wait is begun that ends after the caller's deadline: the coded error
// comes at once instead, so that a task can hand on what is left of its page.
//
// # What is known and what is a guess
//
// Seen in code or data that really talks to the vendor: the login's form and
// its answer, the token as a query parameter, errors inside HTTP 200, the keys
// credentials, eventid, attendeeid and data, "No sessions found.", limit and
// offset with at most 2,000 rows, 429 and 5xx, the shapes of rows, zero dates,
// numbered objects for lists.
//
// Guesses, each on the safe side: how an expired token is told (any error we
// cannot explain, 401 and 403 lead to one new login), a token's life of ten
// minutes (renewed at five), Retry-After (honoured when it comes), the keys
// sessionid, sessionkey and speakerid for unknown ids, the zone of
// modifiedfrom (sent as UTC; callers look back a day), time zones other than
// the numbers 6, 14, 27 and 29.
//
// # What never leaves this package
//
// The key and the token, addresses with their queries, and the texts of the
// vendor's errors, which may name people. Errors hold the function's name, row
// ids, statuses and the names of error keys.
package stova
