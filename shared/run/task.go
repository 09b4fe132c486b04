package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// Kind says what a task asks for.
type Kind string

// The kinds of task.
const (
	SyncTask   Kind = "sync"   // plan one data type of one run
	PageTask   Kind = "page"   // fetch, map and store one page
	FinishTask Kind = "finish" // every page is settled
)

// Queue names one of the two queues.
type Queue string

// The queues: pages of pictures have their own, so that slow downloads never
// stand before the vendor's rows.
const (
	TasksQueue  Queue = "tasks"
	PhotosQueue Queue = "photos"
)

// Task is one message: keys only, no rows, no secrets; under 1 KB.
type Task struct {
	Kind       Kind     `json:"kind"`
	Connection string   `json:"connection"`
	Run        string   `json:"run"`
	Type       DataType `json:"type"`
	Page       string   `json:"page,omitempty"` // "3", or "3.1" for the first rest of page 3
}

// Queue returns the queue the task travels on.
func (t Task) Queue() Queue {
	if t.Kind == PageTask && t.Type.IsPhotos() {
		return PhotosQueue
	}
	return TasksQueue
}

// String names the task by its ids, for errors and logs.
func (t Task) String() string {
	s := fmt.Sprintf("%s task, run %s, %s", t.Kind, t.Run, t.Type)
	if t.Page != "" {
		s += " page " + t.Page
	}
	return s
}

var namePattern = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
var runPattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4,16}$`)
var pagePattern = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,3})?$`)

// ValidName reports whether s may name a connection.
func ValidName(s string) bool { return namePattern.MatchString(s) }

// DecodeTask reads a task from a message body. A body that is not a task is an
// error; reading it again will not mend it.
func DecodeTask(body []byte) (Task, error) {
	var t Task
	if err := json.Unmarshal(body, &t); err != nil {
		return Task{}, errors.New("task body is not a JSON object of a task")
	}
	switch {
	case t.Kind != SyncTask && t.Kind != PageTask && t.Kind != FinishTask:
		return Task{}, errors.New("task kind is unknown")
	case !namePattern.MatchString(t.Connection):
		return Task{}, errors.New("task connection is not a name")
	case !runPattern.MatchString(t.Run):
		return Task{}, errors.New("task run is not a run id")
	case t.Type.RecordType() == "":
		return Task{}, errors.New("task data type is unknown")
	case t.Kind == PageTask && !pagePattern.MatchString(t.Page):
		return Task{}, errors.New("task page is not a page")
	case t.Kind != PageTask && t.Page != "":
		return Task{}, errors.New("task names a page but is none")
	}
	return t, nil
}
