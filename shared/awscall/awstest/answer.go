package awstest

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Request is one attempt of a call as it left the SDK.
type Request struct {
	// Op is the operation of services that name it in a header, such as
	// "PutItem"; of S3 it is the method.
	Op     string
	Header http.Header
	Body   []byte
}

// Answer is what an attempt gets.
type Answer struct {
	Status int // 0: no answer at all, the connection breaks
	Body   string
}

// Fail is the answer of services that speak JSON to a refused call.
func Fail(status int, code string) Answer {
	return Answer{status, `{"__type":"com.amazonaws#` + code + `","message":"invented"}`}
}

// Script is a service that a test plays. It keeps what it was asked.
type Script struct {
	mu     sync.Mutex
	asked  []Request
	answer func(n int, r Request) Answer
}

// Play returns a service whose nth attempt, counting from 1, gets answer(n, …).
func Play(answer func(n int, r Request) Answer) *Script { return &Script{answer: answer} }

// InTurn returns a service that gives its answers one after the other, and
// the last of them for ever.
func InTurn(answers ...Answer) *Script {
	return Play(func(n int, _ Request) Answer { return answers[min(n, len(answers))-1] })
}

// Asked returns the attempts so far.
func (s *Script) Asked() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Config returns the configuration of clients that the script answers.
func (s *Script) Config() aws.Config {
	return aws.Config{
		Region: "us-east-1", HTTPClient: s, Credentials: credentials.NewStaticCredentialsProvider("AKIDINVENTED", "invented", ""),
		BaseEndpoint: new("http://aws.example.test"),
	}
}

// Do implements aws.HTTPClient.
func (s *Script) Do(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	op := req.Method
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		op = target[strings.LastIndexByte(target, '.')+1:]
	}
	s.mu.Lock()
	r := Request{Op: op, Header: req.Header, Body: body}
	s.asked = append(s.asked, r)
	n := len(s.asked)
	s.mu.Unlock()
	a := s.answer(n, r)
	if a.Status == 0 {
		return nil, errors.New("read: connection reset by peer")
	}
	header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}}
	return &http.Response{
		StatusCode: a.Status, Status: http.StatusText(a.Status), Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(a.Body)), ContentLength: int64(len(a.Body)), Request: req,
	}, nil
}
