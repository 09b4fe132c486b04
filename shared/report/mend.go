package report

import "stovasync/shared/fault"

// mends says, for each code, what brings what failed with it to a good end. The
// long form is in docs/errors.md.
func mends() map[fault.Code]string {
	const again = " Then redrive the run's failures."
	return map[fault.Code]string{
		fault.StovaAuth:        "Compare accountid and key with Stova's API page, put the connection again and run check." + again,
		fault.StovaEvent:       "Compare eventid with the number in Stova, and see whether the key may read that event." + again,
		fault.StovaRate:        "Another program may share the account: lower requestsPerMinute." + again,
		fault.StovaServer:      "Wait until Stova answers again; check tells. If the same type fails every time, lower pageSize." + again,
		fault.StovaTooLarge:    "Lower pageSize, for example to 150." + again,
		fault.StovaTimeout:     "Wait until Stova answers in time; check tells. If it stays slow, lower pageSize." + again,
		fault.StovaBody:        "Redrive once; if it fails the same way, Stova's answer is broken: tell Stova the event and the page's ids.",
		fault.ConfigInvalid:    "Correct the setting that the message names and put the connection again." + again,
		fault.MappingLocked:    "Take the locked field out of the mapping, put the connection again, and sync.",
		fault.MappingInvalid:   "Correct the expression that the message names, try it with preview --mapping, put the connection again, and sync.",
		fault.GateUsersFirst:   "Sync users first, then user-photos.",
		fault.PhotoHost:        "Correct the photo endpoint, or add the host to allowedPhotoHosts." + again,
		fault.PhotoType:        "Ask the owner for a picture in JPEG, PNG, GIF or WebP; the next run takes it.",
		fault.PhotoTooLarge:    "Ask the owner for a smaller picture; the next run takes it.",
		fault.RowNoID:          "Nothing here mends it: tell Stova which list holds a row without id.",
		fault.RowNoTimes:       "Give the session a date, a start and an end in Stova; the next run takes it.",
		fault.RowPoison:        "The next run tries the row again by itself. If it stays, tell Stova its id.",
		fault.RemovalRefused:   "See whether the rows are really gone from Stova; if so, sync with --approve-removals.",
		fault.TaskLost:         "Redrive the run's failures; if it happens again, look at the functions' logs.",
		fault.StoreUnavailable: "Wait until the store answers again, or make room on its disk." + again,
		fault.RunActive:        "Wait until the other run has ended, then sync again.",
		fault.EraseKey:         "Put back the key that the erasures were made with, as the message says; until then nothing of people is synced.",
	}
}

// Mend returns what brings what failed with a code to a good end, as sentences;
// "" of a code that is none.
func Mend(code string) string { return mends()[fault.Code(code)] }
