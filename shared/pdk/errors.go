package pdk

import "strconv"

// Statuses that nginx has for certificates of clients; clients see 400.
const (
	StatusBadCertificate = 495
	StatusNoCertificate  = 496
)

// StatusMessage returns the gateway's own text for a status.
func StatusMessage(status int) string {
	switch status {
	case 400:
		return "Bad request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 404:
		return "Not found"
	case 405:
		return "Method not allowed"
	case 408:
		return "Request timeout"
	case 411:
		return "Length required"
	case 412:
		return "Precondition failed"
	case 413:
		return "Payload too large"
	case 414:
		return "URI too long"
	case 417:
		return "Expectation failed"
	case 429:
		return "Too many requests"
	case 494:
		return "Request header or cookie too large"
	case StatusBadCertificate:
		return "The SSL certificate error"
	case StatusNoCertificate:
		return "No required SSL certificate was sent"
	case 500:
		return "An unexpected error occurred"
	case 502:
		return "An invalid response was received from the upstream server"
	case 503:
		return "The upstream server is currently unavailable"
	case 504:
		return "The upstream server is timing out"
	}
	return "The upstream server responded with " + strconv.Itoa(status)
}

// GRPCStatus maps an HTTP status to a gRPC one.
func GRPCStatus(status int) int {
	switch status {
	case 400:
		return 3
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 5
	case 409:
		return 6
	case 429:
		return 8
	case 499:
		return 1
	case 500:
		return 13
	case 501:
		return 12
	case 503:
		return 14
	case 504:
		return 4
	}
	return 2
}
