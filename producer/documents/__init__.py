"""Invoices as documents: what stands on one (`invoice`), as a page of HTML (`html`) and as a PDF (`pdf`)."""
