// Package report writes what people read at a desk or hand to a customer: a
// preview as a page and as a workbook, and a run with its history as a page.
//
// A page is one file that needs nothing else: no network, no font, no picture,
// and no script but a few lines that its own content policy names by their
// hash. Every value is taken for hostile, since labels and answers come from
// forms that anybody on the internet may fill: html/template escapes them, and
// a workbook holds them as text, never as formulas.
//
// It knows how to show, not how to find out: shared/preview and shared/pipeline
// say what there is to see. No function links it.
package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page/*.tmpl page/style.css page/script.js
var files embed.FS

// page is what every page has; each kind of page embeds it.
type page struct {
	Title string
	// Policy is the page's content policy: it may run its own script and wear
	// its own style, and load nothing at all.
	Policy string
	Style  template.CSS
	Script template.JS
	// Nav leads to the sections, in their order.
	Nav []link
}

// link leads to a section of the same page.
type link struct {
	ID, Name string
	Count    string // how many rows it holds; "" says nothing
	Alarm    bool   // something in it wants a person
}

// newPage reads the style and the script that all pages share.
func newPage(title string, nav []link) (page, error) {
	style, err := files.ReadFile("page/style.css")
	if err != nil {
		return page{}, err
	}
	script, err := files.ReadFile("page/script.js")
	if err != nil {
		return page{}, err
	}
	return page{
		Title: title, Nav: nav, Style: template.CSS(style), Script: template.JS(script),
		Policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", hash(style), hash(script)),
	}, nil
}

// hash is the name by which a content policy lets an inline text in.
func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// execute writes a page. It is made in memory first, so that a page that cannot
// be made leaves nothing behind.
func execute(w io.Writer, name string, data any) error {
	t, err := template.New(name).Funcs(template.FuncMap{
		"join": strings.Join, "count": count, "stamp": stamp, "iso": iso, "state": stateClass,
	}).ParseFS(files, "page/*.tmpl")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("make the page: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}
